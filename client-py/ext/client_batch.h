// From queued tasks to one Submission: which functions go along, under which ids, and how much fits.
#pragma once

#include <list>
#include <unordered_map>
#include <vector>

#include "ext/client_task.h"
#include "scheduler.capnp.h"

namespace epochly::client {

// Function ids in use on one connection. Each pins a function in the scheduler, which keeps 10,000 for all its clients.
constexpr uint32_t FUNCTION_IDS_MAX = 512;

// The functions that the scheduler knows on this connection, by id; the least recently used id is given to the next new one,
// so a program that makes functions without end stays within the bound. Lives on the loop's thread, one per connection.
class FunctionTable {
 public:
  explicit FunctionTable(uint32_t idsMax = FUNCTION_IDS_MAX) : idsMax(idsMax) {}

  // Starts a new message: ids named from here on stay until the next begin().
  void begin() { message++; }
  // Id of `function`; `isNew`: it must be sent along. 0: every id is taken by this message.
  uint32_t idFor(const std::shared_ptr<const Function>& function, bool& isNew);
  // The message that begin() started was not taken: what it told is forgotten.
  void forgetMessage();

 private:
  struct Row {
    std::shared_ptr<const Function> function;
    uint32_t id;
    uint64_t usedIn;  // message
    uint64_t toldIn;  // message
  };
  const uint32_t idsMax;
  uint64_t message = 0;
  std::list<Row> rows;  // least recently used first
  std::unordered_map<FunctionHash, std::list<Row>::iterator> byHash;
  std::vector<uint32_t> freeIds;
  uint32_t lastId = 0;

  uint32_t takeId();
};

// What one message will hold: the first `tasks` of the queue.
struct Plan {
  struct NewFunction {
    std::shared_ptr<const Function> function;
    uint32_t id;
  };
  std::vector<NewFunction> functions;
  std::vector<uint32_t> functionIds;  // by task
  size_t tasks() const { return functionIds.size(); }
  size_t bytes = 0;      // estimate of the message
  size_t taskBytes = 0;  // TaskSpec::bytes of its tasks
};

// At most tasksMax tasks. A first task whose function and arguments together would not fit a message: the plan holds the
// function alone, and the task goes with the next. Never empty if `batch` is not.
Plan planSubmission(const std::vector<TaskSpec>& batch, size_t tasksMax, FunctionTable& table);
void writeSubmission(const std::vector<TaskSpec>& batch, const Plan& plan, schema::Submission::Builder submission);

}  // namespace epochly::client
