// Calls of the core that no honest peer makes: it must refuse them, or count and drop them, and be none the worse.
#pragma once

#include "sim/scheduler.h"

namespace epochly::sim {

class Mischief {
 public:
  Mischief(Context& context, Scheduler& scheduler, const std::vector<FunctionSpec>& functions);

  void start();
  // One act, drawn from all kinds.
  void act();

 private:
  Context& context;
  Scheduler& scheduler;
  const std::vector<FunctionSpec>& functions;
  Rng rng;

  void next();
  kj::Maybe<TaskId> anyTask();
  WorkerId anyWorker();
  kj::Maybe<SpaceId> anySpace();
  Report forge(TaskId task, Attempt attempt, WorkerId worker);
  void expectRefused(ErrorCode expected, kj::StringPtr what, kj::Function<void()> event);

  void reportOfAnotherWorker();
  void reportOfAnotherAttempt();
  void reportOfAnUnknownWorker();
  void reportOfAnUnknownTask();
  void unknownWorkerActs();
  void cancelWhatIsNotThere();
  void cancelWhatHasEnded();
  void acknowledgeTooMuch();
  void submitUnknownFunction();
  void submitToUnknownSpace();
  void submitAgain();
  void tickOutOfTurn();
  void unknownClientActs();
  void tellAnotherFunctionUnderAHash();
  void tellTooLargeAFunction();
  void tellOfUnknownFunctions();
  void nothingAtAll();
};

}  // namespace epochly::sim
