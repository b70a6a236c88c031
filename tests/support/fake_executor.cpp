// An executor without Python: does what the argument's pickle says, and answers with a value's pickle.
//
//   echo TEXT      answers TEXT              big N        answers N bytes
//   raise          answers a failure         pid          answers its process id
//   segv, kill     dies by that signal       exit N       calls _exit(N)
//   sleep MS       answers "slept"           hang         never answers
//   scratch        answers $EPOCHLY_SCRATCH_DIR           limit NAME  answers that limit (core, as, nofile) of its own
//   later          answers something nobody asked, waking the daemon, and 0.2 ms later "late" without waking it
//   damage         writes into the ring what cannot be frames, and never answers
//   share MS       puts its answer, "shared", into shared memory; tells of it after that long, or -1: never
//   spawn          starts a process in its group that never ends, and answers its pid
//
// In the environment, for what happens before it is ready: FAKE_EXECUTOR=fail writes to standard error and exits with 1, =hang never
// becomes ready. Asked as the probe asks Python, it answers as Python 3.11 does.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

#include "objects/object.h"
#include "run/assignment.h"
#include "run/executor_port.h"
#include "run/fd.h"
#include "run/result_objects.h"

namespace epochly::run {
namespace {

struct Work {
  uint32_t index;
  AttemptName name;
  std::string command;
};

std::string limitText(const std::string& which) {
  rlimit limit{};
  getrlimit(which == "core" ? RLIMIT_CORE : which == "as" ? RLIMIT_AS : RLIMIT_NOFILE, &limit);
  return std::to_string(limit.rlim_cur);
}

ExecutorFds inherited;
RingControl* outgoing;  // a second mapping of the ring this process writes to

void damageRing() {
  outgoing->written.store(~0ull);
  signalFd(inherited.daemonWake);
}

std::string spawnForever() {
  pid_t child = fork();
  if (child == 0) {
    while (true) pause();
  }
  return std::to_string(child);
}

std::string answerTo(const std::string& command) {
  auto space = command.find(' ');
  auto verb = command.substr(0, space);
  auto rest = space == std::string::npos ? "" : command.substr(space + 1);
  if (verb == "later") return "late";
  if (verb == "echo") return rest;
  if (verb == "big") return std::string(std::stoul(rest), 'x');
  if (verb == "pid") return std::to_string(getpid());
  if (verb == "segv") {
    signal(SIGSEGV, SIG_DFL);  // sanitizers catch it
    raise(SIGSEGV);
  }
  if (verb == "kill") raise(SIGKILL);
  if (verb == "exit") _exit(std::stoi(rest));
  if (verb == "sleep") {
    std::this_thread::sleep_for(std::chrono::milliseconds(std::stoi(rest)));
    return "slept";
  }
  if (verb == "damage") damageRing();
  while (verb == "hang" || verb == "damage") pause();
  if (verb == "scratch") return getenv("EPOCHLY_SCRATCH_DIR");
  if (verb == "limit") return limitText(rest);
  if (verb == "spawn") return spawnForever();
  return "unknown command";
}

// Wakes the daemon, which finds nothing it waits for; then lets it go back to sleep.
void sayNothing(ExecutorPort& port) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::FromExecutor>().initResults().initResults(1);
  port.send(message);
  for (uint64_t end = monotonicNs() + 200'000; monotonicNs() < end;) {
  }
}

void shareAnswer(const AttemptName& name, int ms, schema::Payload::Builder value) {
  const std::string answer = "shared";
  auto object = objects::Object::create(answer.size(), markOf(name));
  std::copy(answer.begin(), answer.end(), object.bytes().begin());
  while (ms < 0) pause();
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  auto shared = value.initBuffers(1)[0].initShared();
  shared.setName(object.name());
  shared.setSize(answer.size());
}

void runOne(ExecutorPort& port, const Work& work) {
  if (!port.begin(work.index)) return;
  bool later = work.command == "later";
  if (later) sayNothing(port);
  uint64_t begun = monotonicNs();
  capnp::MallocMessageBuilder message;
  auto result = message.initRoot<schema::FromExecutor>().initResults().initResults(1)[0];
  writeTaskId(work.name.task, result.initTask());
  result.setAttempt(work.name.attempt.value);
  if (work.command == "raise") {
    result.initFailure().setType("builtins.ValueError");
  } else if (work.command.rfind("share ", 0) == 0) {
    shareAnswer(work.name, std::stoi(work.command.substr(6)), result.initValue());
  } else {
    auto answer = answerTo(work.command);
    result.initValue().setPickle(capnp::Data::Reader(reinterpret_cast<const kj::byte*>(answer.data()), answer.size()));
  }
  result.initTimings().setRun(monotonicNs() - begun);
  port.send(message, later ? Wake::LATER : Wake::NOW);
  port.end(work.index);
}

void runFrame(ExecutorPort& port, Mode mode, Frame& frame) {
  uint32_t index = frame.first;
  for (auto assignment : frame.message().getRun().getAssignments()) {
    auto pickle = assignment.getArguments().getPickle();
    Work work{index++,
              {readTaskId(assignment.getTask()), Attempt(assignment.getAttempt())},
              std::string(reinterpret_cast<const char*>(pickle.begin()), pickle.size())};
    if (mode == Mode::CPU) {
      runOne(port, work);
    } else {
      std::thread([&port, work] { runOne(port, work); }).detach();
    }
  }
}

int serve(const char* mode, const char* fds) {
  const char* fault = getenv("FAKE_EXECUTOR") ? getenv("FAKE_EXECUTOR") : "";
  if (strcmp(fault, "fail") == 0) {
    fprintf(stderr, "ModuleNotFoundError: No module named 'epochly'\n");
    return 1;
  }
  while (strcmp(fault, "hang") == 0) pause();
  auto parsed = strcmp(mode, "io") == 0 ? Mode::IO : Mode::CPU;
  // Never freed: threads may still use it when the process ends.
  inherited = ExecutorFds::parse(fds).orDefault(ExecutorFds());
  outgoing = &(new Channel(Channel::open(kj::AutoCloseFd(dup(inherited.channel)))))->layout().fromExecutor;
  auto& port = *new ExecutorPort(fds, parsed);
  fprintf(stderr, "fake executor starts\n");
  port.sendReady(PythonVersion{3 << 8 | 11}, "fake");
  while (true) {
    auto received = port.receive();
    if (received.got == ExecutorPort::Got::HANGUP) return 0;
    if (received.got == ExecutorPort::Got::NOTHING) continue;
    if (received.frame->message().isStop()) return 0;
    runFrame(port, parsed, *received.frame);
  }
}

}  // namespace
}  // namespace epochly::run

int main(int argc, char** argv) {
  const char* mode = "";
  const char* fds = "";
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "-c") == 0) {
      printf("cpython\n3\n11\n3.11.2\n%s\n", argv[0]);
      return 0;
    }
    if (strcmp(argv[i], "--mode") == 0) mode = argv[i + 1];
    if (strcmp(argv[i], "--fds") == 0) fds = argv[i + 1];
  }
  int status = epochly::run::serve(mode, fds);
  fflush(nullptr);
  _exit(status);  // threads may be running
}
