#include "run/executor_process.h"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <capnp/serialize.h>
#include <kj/debug.h>

#include "run/executor_port.h"
#include "run/fd.h"
#include "wire/errors.h"

extern char** environ;

namespace epochly::run {

namespace {

// What of an early death's standard error is told: a Python traceback's end.
constexpr size_t ERRORS_TAIL_BYTES = 2000;
// What of it is passed on when the executor is ready: warnings of the user's imports.
constexpr size_t ERRORS_PASSED_BYTES_MAX = 64u << 10;
// Added to an executor's badness (0 to 1000) when the kernel is out of memory: it should take user code, not the daemon.
constexpr char OUT_OF_MEMORY_SCORE[] = "500";

[[noreturn]] void refuse(kj::String message) { kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, message)); }

// As execvp would find it, so that the child needs to do nothing but execve.
kj::String findProgram(kj::StringPtr name) {
  if (name.findFirst('/') != nullptr) return kj::str(name);
  const char* given = getenv("PATH");
  std::string path = given == nullptr ? "/usr/local/bin:/usr/bin:/bin" : given;
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find(':', begin), path.size());
    auto candidate = kj::str(path.substr(begin, end - begin).c_str(), '/', name);
    if (access(candidate.cStr(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  refuse(kj::str("cannot start executors: no program '", name, "' on the PATH"));
}

// Strings as execve wants them. The strings must outlive it.
kj::Array<char*> pointersTo(kj::ArrayPtr<const kj::String> strings) {
  auto pointers = kj::heapArrayBuilder<char*>(strings.size() + 1);
  for (auto& string : strings) pointers.add(const_cast<char*>(string.cStr()));
  pointers.add(nullptr);
  return pointers.finish();
}

kj::Array<kj::String> environmentWith(kj::String extra) {
  kj::Vector<kj::String> environment;
  for (char** entry = environ; *entry != nullptr; entry++) environment.add(kj::str(*entry));
  environment.add(kj::mv(extra));
  return environment.releaseAsArray();
}

// Everything the child needs, prepared by the parent: between fork and exec it may only make system calls.
struct Child {
  kj::String program;
  kj::Array<char*> argv;
  kj::Array<char*> envp;
  kj::Vector<int> inherited;
  int standardInput;
  int standardError;
  int report;  // pipe, closed by exec: the error number of what failed
  pid_t parent;
  kj::Maybe<uint64_t> addressSpaceMax;
  const ExecutorCommand& command;

  [[noreturn]] void run() {
    if (prepare()) execve(program.cStr(), argv.begin(), envp.begin());
    int error = errno;
    (void)!::write(report, &error, sizeof(error));
    _exit(127);
  }

  bool prepare() {
    sigset_t none;
    sigemptyset(&none);
    // The daemon blocks the signals it reads from a descriptor and ignores SIGPIPE; neither is the user code's business.
    if (sigprocmask(SIG_SETMASK, &none, nullptr) != 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR) return false;
    if (setpgid(0, 0) != 0) return false;
    if (dup2(standardInput, STDIN_FILENO) < 0 || dup2(standardError, STDERR_FILENO) < 0) return false;
    for (int fd : inherited) {
      if (fcntl(fd, F_SETFD, 0) != 0) return false;
    }
    return limit() && becomeUser() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && dieWithParent();
  }

  bool limit() {
    rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return false;
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) {  // some containers have no /proc to write to; then the kernel chooses by size
      (void)!::write(score, OUT_OF_MEMORY_SCORE, sizeof(OUT_OF_MEMORY_SCORE) - 1);
      close(score);
    }
    KJ_IF_MAYBE(bytes, addressSpaceMax) {
      rlimit memory = {*bytes, *bytes};
      if (setrlimit(RLIMIT_AS, &memory) != 0) return false;
    }
    KJ_IF_MAYBE(files, command.openFiles) {
      if (setrlimit(RLIMIT_NOFILE, files) != 0) return false;
    }
    return true;
  }

  bool becomeUser() {
    KJ_IF_MAYBE(user, command.user) {
      return setgroups(user->groups.size(), user->groups.begin()) == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0;
    }
    return true;
  }

  // After becomeUser, which would clear it. The parent may have died before.
  bool dieWithParent() {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return false;
    if (getppid() != parent) _exit(0);
    return true;
  }
};

// Threads' stacks are address space that is hardly used: they do not count against what the user allowed.
kj::Maybe<uint64_t> addressSpaceMax(const ExecutorCommand& command, Role role) {
  KJ_IF_MAYBE(bytes, command.memoryBytesMax) {
    rlimit stack{};
    bool known = getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur != RLIM_INFINITY;
    uint64_t threads = role == Role::IO ? command.ioThreads : 0;
    return *bytes + threads * (known ? stack.rlim_cur : 8u << 20);
  }
  return nullptr;
}

kj::AutoCloseFd openPidFd(pid_t pid) {
  int fd;
  KJ_SYSCALL(fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), "Epochly needs Linux 5.3 or newer");
  setCloseOnExec(fd, true);
  return kj::AutoCloseFd(fd);
}

std::pair<kj::AutoCloseFd, kj::AutoCloseFd> newSocketPair() {
  int pair[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  return {kj::AutoCloseFd(pair[0]), kj::AutoCloseFd(pair[1])};
}

kj::String makeScratch(const ExecutorCommand& command, ExecutorId id) {
  auto path = kj::str(command.scratch, '/', id.value);
  KJ_SYSCALL(mkdir(path.cStr(), 0700), path);
  KJ_IF_MAYBE(user, command.user) KJ_SYSCALL(chown(path.cStr(), user->uid, user->gid), path);
  return path;
}

}  // namespace

User User::named(kj::StringPtr name) {
  errno = 0;
  passwd* entry = getpwnam(name.cStr());
  if (entry == nullptr) refuse(kj::str("there is no user '", name, "'"));
  int count = 0;
  getgrouplist(name.cStr(), entry->pw_gid, nullptr, &count);
  auto groups = kj::heapArray<gid_t>(count);
  KJ_REQUIRE(getgrouplist(name.cStr(), entry->pw_gid, groups.begin(), &count) >= 0, "the user's groups change", name);
  return User{entry->pw_uid, entry->pw_gid, kj::mv(groups)};
}

ExecutorProcess::ExecutorProcess(ExecutorId id, Role role, const ExecutorCommand& command, int daemonWake)
    : id(id),
      role(role),
      channel(Channel::create()),
      dataWake(newEventFd()),
      roomWake(newEventFd()),
      earlyErrors(newMemoryFile("epochly-stderr", 0)),
      writer(channel.layout().toExecutor, kj::arrayPtr(channel.layout().toExecutorData, RING_BYTES), dataWake),
      reader(channel.layout().fromExecutor, kj::arrayPtr(channel.layout().fromExecutorData, RING_BYTES), roomWake) {
  scratch = makeScratch(command, id);
  spawn(command, daemonWake);
}

ExecutorProcess::~ExecutorProcess() noexcept(false) {
  if (!reaped) {
    kill("it is not needed any more");
    siginfo_t info;
    while (waitid(P_PID, pid_, &info, WEXITED) != 0 && errno == EINTR) {
    }
  }
  std::error_code ignored;  // what cannot be removed stays in the temporary directory
  std::filesystem::remove_all(scratch.cStr(), ignored);
}

void ExecutorProcess::spawn(const ExecutorCommand& command, int daemonWake) {
  auto sockets = newSocketPair();
  lifeLine = kj::mv(sockets.first);
  int laterFd;
  KJ_SYSCALL(laterFd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  kj::AutoCloseFd later(laterFd);
  ExecutorFds fds{channel.fd(), daemonWake, dataWake, roomWake, sockets.second, later};

  auto program = findProgram(command.program);
  kj::Vector<kj::String> arguments;
  arguments.add(kj::str(command.program));
  for (auto& argument : command.arguments) arguments.add(kj::str(argument));
  auto own = kj::arr(kj::str("--mode"), kj::str(modeName(role == Role::CPU ? Mode::CPU : Mode::IO)), kj::str("--threads"),
                     kj::str(role == Role::IO ? command.ioThreads : 1), kj::str("--fds"), fds.toString());
  for (auto& argument : own) arguments.add(kj::mv(argument));
  auto environment = environmentWith(kj::str("EPOCHLY_SCRATCH_DIR=", scratch));

  int report[2];
  KJ_SYSCALL(pipe2(report, O_CLOEXEC));
  kj::AutoCloseFd reportRead(report[0]), reportWrite(report[1]);
  int null;
  KJ_SYSCALL(null = open("/dev/null", O_RDONLY | O_CLOEXEC));
  kj::AutoCloseFd standardInput(null);

  Child child{kj::str(program),
              pointersTo(arguments),
              pointersTo(environment),
              {},
              standardInput,
              earlyErrors,
              reportWrite,
              getpid(),
              addressSpaceMax(command, role),
              command};
  for (int fd : {fds.channel, fds.daemonWake, fds.dataWake, fds.roomWake, fds.lifeLine, fds.stderrLater})
    child.inherited.add(fd);
  KJ_SYSCALL(pid_ = fork());
  if (pid_ == 0) child.run();

  reportWrite = nullptr;
  int error = 0;
  ssize_t got;
  do {
    got = read(reportRead, &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(error)) {
    waitpid(pid_, nullptr, 0);
    reaped = true;
    std::error_code ignored;
    std::filesystem::remove_all(scratch.cStr(), ignored);
    refuse(kj::str("cannot start executors with ", program, ": ", strerror(error)));
  }
  pidFd_ = openPidFd(pid_);
}

uint64_t ExecutorProcess::residentBytes() const {
  std::ifstream file(kj::str("/proc/", pid_, "/statm").cStr());
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// ---- frames --------------------------------------------------------------------------------------------------------

void ExecutorProcess::write(kj::ArrayPtr<const kj::byte> bytes) {
  if (waiting.empty()) {
    size_t written = writer.write(bytes);
    dirty = dirty || written > 0;
    bytes = bytes.slice(written, bytes.size());
  }
  waiting.addAll(bytes);
}

void ExecutorProcess::send(capnp::MessageBuilder& message) {
  uint32_t bytes = capnp::computeSerializedSizeInWords(message) * sizeof(capnp::word);
  const kj::byte length[] = {static_cast<kj::byte>(bytes), static_cast<kj::byte>(bytes >> 8),
                             static_cast<kj::byte>(bytes >> 16), static_cast<kj::byte>(bytes >> 24)};
  write(length);

  class Stream : public kj::OutputStream {
   public:
    explicit Stream(ExecutorProcess& process) : process(process) {}
    void write(const void* buffer, size_t size) override {
      process.write(kj::arrayPtr(reinterpret_cast<const kj::byte*>(buffer), size));
    }

   private:
    ExecutorProcess& process;
  } stream(*this);
  capnp::writeMessage(stream, message);
}

void ExecutorProcess::flush() {
  while (waitingFrom < waiting.size()) {
    size_t written = writer.write(waiting.asPtr().slice(waitingFrom, waiting.size()));
    waitingFrom += written;
    dirty = dirty || written > 0;
    // The executor signals daemonWake when it makes room, and the next drain flushes again.
    if (written == 0 && writer.prepareToWait()) break;
  }
  if (waitingFrom == waiting.size() && waitingFrom > 0) {
    waiting = kj::Vector<kj::byte>();
    waitingFrom = 0;
  }
  if (!dirty) return;
  dirty = false;
  writer.publish();
  writer.wakeReader();
}

kj::Maybe<kj::Array<capnp::word>> ExecutorProcess::receive() { return reader.next(); }

bool ExecutorProcess::prepareToSleep() { return reader.prepareToSleep(); }

// ---- its end -------------------------------------------------------------------------------------------------------

void ExecutorProcess::onReady() {
  char text[4096];
  for (off_t at = 0; at < static_cast<off_t>(ERRORS_PASSED_BYTES_MAX);) {
    ssize_t count = pread(earlyErrors, text, sizeof(text), at);
    if (count <= 0 || ::write(STDERR_FILENO, text, count) != count) break;
    at += count;
  }
  earlyErrors = nullptr;
}

// The group, so that what user code has started does not outlive the attempt. By pid is safe: it is not reaped yet.
void ExecutorProcess::kill(kj::StringPtr why) {
  if (killedWhy == nullptr) killedWhy = kj::str(why);
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);  // it may not have reached its setpgid
}

kj::String ExecutorProcess::reap() {
  siginfo_t info = {};
  // Kill the rest of its group while the pid is still ours.
  KJ_SYSCALL(waitid(P_PID, pid_, &info, WEXITED | WNOWAIT));
  ::kill(-pid_, SIGKILL);
  KJ_SYSCALL(waitid(P_PID, pid_, &info, WEXITED));
  reaped = true;
  auto how = describeExit(info);
  KJ_IF_MAYBE(why, killedWhy) {
    if (info.si_code != CLD_EXITED && info.si_status == SIGKILL) how = kj::str("was killed by the worker: ", *why);
  }
  if (earlyErrors == nullptr) return how;
  auto tail = earlyErrorsTail();
  return tail.size() == 0 ? kj::str(how, " and wrote nothing to standard error")
                          : kj::str(how, "; its standard error:\n", tail);
}

kj::String ExecutorProcess::earlyErrorsTail() {
  struct stat info;
  KJ_SYSCALL(fstat(earlyErrors, &info));
  off_t begin = std::max<off_t>(0, info.st_size - static_cast<off_t>(ERRORS_TAIL_BYTES));
  auto text = kj::heapString(info.st_size - begin);
  ssize_t count = pread(earlyErrors, text.begin(), text.size(), begin);
  while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == ' ')) count--;
  return kj::heapString(text.begin(), count < 0 ? 0 : count);
}

kj::String describeExit(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return kj::str("exited with status ", info.si_status);
  const char* name = sigabbrev_np(info.si_status);
  auto text = name == nullptr ? kj::str("was killed by signal ", info.si_status)
                              : kj::str("was killed by SIG", name, " (signal ", info.si_status, ")");
  if (info.si_status == SIGKILL) return kj::str(text, "; the kernel's out-of-memory killer is a likely cause");
  return text;
}

}  // namespace epochly::run
