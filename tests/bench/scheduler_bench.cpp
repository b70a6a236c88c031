// What a task costs in epochly-scheduler: the real process, a client and a worker in C++ that do nothing else.
//
// CPU time is the scheduler's own (/proc/PID/schedstat), so other work on the machine stretches the wall times only.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "conformance/peers.h"
#include "conformance/process.h"

namespace epochly::bench {
namespace {

using conformance::HelloFields;
using conformance::Loop;
using conformance::SchedulerProcess;
using conformance::Wire;

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

uint64_t cpuNanoseconds(pid_t pid) {
  uint64_t sum = 0;
  for (auto& task : {std::to_string(pid)}) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + task + "/schedstat");
    uint64_t running = 0;
    file >> running;
    sum += running;
  }
  return sum;
}

uint64_t residentBytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Submits `total` tasks of one function and counts their results.
class LoadClient {
 public:
  LoadClient(Loop& loop, const std::string& address, size_t argumentBytes)
      : loop(loop), wire(loop, address), arguments(kj::heapArray<byte>(argumentBytes)) {
    memset(arguments.begin(), 'x', arguments.size());
    auto request = wire.gateway.openClientRequest();
    conformance::write(HelloFields(), request.initHello());
    request.setSink(kj::heap<Sink>(*this));
    session = loop.wait(request.send()).getSession();
  }

  uint64_t received = 0;

  // Keeps at most `window` tasks between submission and result; 0: no bound.
  void run(uint64_t total, uint64_t window, uint batch) {
    uint64_t target = sent + total, receivedTarget = received + total;
    std::deque<kj::Promise<void>> receipts;
    while (sent < target || !receipts.empty() || (window > 0 && received < receivedTarget)) {
      bool mayEnter = window == 0 || sent - received + batch <= window;
      if (sent < target && mayEnter && receipts.size() < 4) {
        receipts.push_back(submit(std::min<uint64_t>(batch, target - sent)));
      } else if (!receipts.empty() && (sent == target || receipts.size() >= 4)) {
        receipts.front().wait(loop.io.waitScope);
        receipts.pop_front();
      } else {
        waitForMore();
      }
    }
  }

 private:
  class Sink final : public schema::ClientSink::Server {
   public:
    explicit Sink(LoadClient& client) : client(client) {}

   protected:
    kj::Promise<void> results(ResultsContext context) override {
      client.received += context.getParams().getBatch().getResults().size();
      KJ_IF_MAYBE(waiting, client.arrival) {
        (*waiting)->fulfill();
      }
      client.arrival = nullptr;
      return kj::READY_NOW;
    }

   private:
    LoadClient& client;
  };

  Loop& loop;
  Wire wire;
  kj::Array<byte> arguments;
  schema::ClientSession::Client session = nullptr;
  uint64_t sent = 0;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> arrival;

  void waitForMore() {
    auto paf = kj::newPromiseAndFulfiller<void>();
    arrival = kj::mv(paf.fulfiller);
    paf.promise.wait(loop.io.waitScope);
  }

  kj::Promise<void> submit(uint count) {
    auto request = session.submitRequest(capnp::MessageSize{count * (16 + arguments.size() / 8) + 64, 0});
    auto batch = request.initBatch();
    if (sent == 0) {
      auto function = batch.initFunctions(1)[0];
      function.setId(1);
      function.setHashLow(1);
      function.setName("bench.nothing");
    }
    auto tasks = batch.initTasks(count);
    for (uint i = 0; i < count; i++) {
      tasks[i].setSeq(++sent);
      tasks[i].setFunction(1);
      tasks[i].setLevel(0);
      tasks[i].initArguments().setPickle(arguments);
    }
    return request.send().then([count](auto&& answer) {
      if (answer.getReceipt().getAccepted() != count) {
        fprintf(stderr, "the scheduler accepted %u of %u tasks\n", answer.getReceipt().getAccepted(), count);
        exit(1);
      }
    });
  }
};

// Answers every assignment at once, in a thread of its own.
class EchoWorker {
 public:
  EchoWorker(const std::string& address, uint slots) {
    thread = std::thread([this, address, slots] { serve(address, slots); });
    while (!joined) std::this_thread::yield();
  }
  ~EchoWorker() {
    stopper->fulfill();
    thread.join();
  }

 private:
  class Sink final : public schema::WorkerSink::Server {
   public:
    schema::WorkerSession::Client session = nullptr;

   protected:
    kj::Promise<void> run(RunContext context) override {
      auto assignments = context.getParams().getBatch().getAssignments();
      auto request = session.resultsRequest(capnp::MessageSize{assignments.size() * 32ull + 64, 0});
      auto results = request.initBatch().initResults(assignments.size());
      byte none[] = {0x80, 0x05, 'N', '.'};
      for (uint i = 0; i < assignments.size(); i++) {
        results[i].setTask(assignments[i].getTask());
        results[i].setAttempt(assignments[i].getAttempt());
        results[i].initValue().setPickle(kj::arrayPtr(none, sizeof(none)));
        auto timings = results[i].initTimings();
        timings.setRun(1'000);
        timings.setCpu(1'000);
      }
      pending.add(request.send().ignoreResult());
      return kj::READY_NOW;
    }

   private:
    struct Ignore final : kj::TaskSet::ErrorHandler {
      void taskFailed(kj::Exception&&) override {}
    } ignore;
    kj::TaskSet pending{ignore};
  };

  std::thread thread;
  std::atomic<bool> joined{false};
  kj::Own<kj::CrossThreadPromiseFulfiller<void>> stopper;

  void serve(const std::string& address, uint slots) {
    Loop loop;
    auto stop = kj::newPromiseAndCrossThreadFulfiller<void>();
    stopper = kj::mv(stop.fulfiller);
    Wire wire(loop, address);
    auto sink = kj::heap<Sink>();
    auto& that = *sink;
    auto request = wire.gateway.joinWorkerRequest();
    conformance::write(HelloFields(), request.initHello());
    auto capability = request.initInfo().initCapabilities(1)[0];
    capability.setSlots(slots);
    request.setSink(kj::mv(sink));
    auto session = loop.wait(request.send()).getSession();
    that.session = session;
    joined = true;
    stop.promise.exclusiveJoin(beat(loop, session)).wait(loop.io.waitScope);
    that.session = nullptr;
  }

  static kj::Promise<void> beat(Loop& loop, schema::WorkerSession::Client session) {
    return session.heartbeatRequest()
        .send()
        .then([&loop](auto&&) { return loop.io.provider->getTimer().afterDelay(500 * kj::MILLISECONDS); })
        .then([&loop, session]() mutable { return beat(loop, session); });
  }
};

// ---- measures ------------------------------------------------------------------------------------------------------

struct Figure {
  std::string name;
  double value;
  std::string unit;
  double bound;  // 0: none
};

void measureIdle(std::vector<Figure>& figures) {
  SchedulerProcess scheduler;
  uint64_t before = cpuNanoseconds(scheduler.pid());
  std::this_thread::sleep_for(std::chrono::seconds(2));
  figures.push_back({"idle resident", residentBytes(scheduler.pid()) / 1048576.0, "MiB", 25});
  figures.push_back({"idle CPU", (cpuNanoseconds(scheduler.pid()) - before) / 2e9 * 100, "%", 1});
}

void measureThroughput(std::vector<Figure>& figures, uint64_t total) {
  SchedulerProcess scheduler;
  EchoWorker worker(scheduler.address(), 16);
  Loop loop;
  LoadClient client(loop, scheduler.address(), 64);
  client.run(total / 10, 16384, BATCH_TASKS_MAX);  // the run time is learnt, tables have grown
  uint64_t cpu = cpuNanoseconds(scheduler.pid());
  auto start = Clock::now();
  client.run(total, 16384, BATCH_TASKS_MAX);
  double wall = seconds(Clock::now() - start);
  figures.push_back({"throughput, batches", total / wall, "tasks/s", 0});
  figures.push_back({"scheduler CPU per task", (cpuNanoseconds(scheduler.pid()) - cpu) / 1e3 / total, "us", 2});
}

void measureRoundTrip(std::vector<Figure>& figures) {
  SchedulerProcess scheduler;
  EchoWorker worker(scheduler.address(), 4);
  Loop loop;
  LoadClient client(loop, scheduler.address(), 64);
  std::vector<double> times;
  for (int i = 0; i < 3000; i++) {
    auto start = Clock::now();
    client.run(1, 1, 1);
    times.push_back(seconds(Clock::now() - start) * 1e6);
  }
  std::sort(times.begin(), times.end());
  figures.push_back({"lone round trip, p50", times[times.size() / 2], "us", 0});
  figures.push_back({"lone round trip, p99", times[times.size() * 99 / 100], "us", 0});
}

void measureQueue(std::vector<Figure>& figures, uint64_t total) {
  constexpr size_t ARGUMENT_BYTES = 64;
  SchedulerProcess scheduler;
  Loop loop;
  LoadClient client(loop, scheduler.address(), ARGUMENT_BYTES);
  uint64_t before = residentBytes(scheduler.pid());
  uint64_t cpu = cpuNanoseconds(scheduler.pid());
  auto start = Clock::now();
  client.run(total, 0, BATCH_TASKS_MAX);
  double wall = seconds(Clock::now() - start);
  double bytes = static_cast<double>(residentBytes(scheduler.pid()) - before) / total - ARGUMENT_BYTES;
  figures.push_back({std::to_string(total) + " tasks accepted in", wall, "s", 20});
  figures.push_back({"scheduler CPU per queued task", (cpuNanoseconds(scheduler.pid()) - cpu) / 1e3 / total, "us", 0});
  figures.push_back({"resident per queued task, beyond its arguments", bytes, "bytes", 600});
  EchoWorker worker(scheduler.address(), 16);
  cpu = cpuNanoseconds(scheduler.pid());
  start = Clock::now();
  while (client.received < total) loop.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(loop.io.waitScope);
  figures.push_back({"and run at", total / seconds(Clock::now() - start), "tasks/s", 0});
  figures.push_back(
      {"scheduler CPU per task of a full queue", (cpuNanoseconds(scheduler.pid()) - cpu) / 1e3 / total, "us", 2});
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // it tidies up once a second
  figures.push_back({"resident afterwards", residentBytes(scheduler.pid()) / 1048576.0, "MiB", 0});
}

void print(const std::vector<Figure>& figures) {
  printf("%-48s %14s  %s\n", "measure", "value", "bound");
  for (auto& figure : figures) {
    printf("%-48s %14.2f %-8s", figure.name.c_str(), figure.value, figure.unit.c_str());
    if (figure.bound > 0) printf(" %g%s", figure.bound, figure.value > figure.bound ? "  OVER" : "");
    printf("\n");
  }
}

void writeJson(const std::vector<Figure>& figures, const char* path) {
  std::ofstream file(path);
  file << "[";
  for (size_t i = 0; i < figures.size(); i++) {
    auto& figure = figures[i];
    file << (i == 0 ? "\n" : ",\n") << "  {\"name\": \"" << figure.name << "\", \"value\": " << figure.value
         << ", \"unit\": \"" << figure.unit << "\", \"bound\": ";
    figure.bound > 0 ? file << figure.bound : file << "null";
    file << "}";
  }
  file << "\n]\n";
}

}  // namespace

int run(int argc, char** argv) {
  const char* json = nullptr;
  uint64_t total = 1'000'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    if (name == "--json")
      json = argv[i + 1];
    else if (name == "--tasks")
      total = std::stoull(argv[i + 1]);
    else
      return fprintf(stderr, "usage: epochly_bench [--tasks N] [--json FILE]\n"), 2;
  }
  std::vector<Figure> figures;
  measureIdle(figures);
  measureRoundTrip(figures);
  measureThroughput(figures, total);
  measureQueue(figures, total);
  print(figures);
  if (json != nullptr) writeJson(figures, json);
  bool isOver = std::any_of(figures.begin(), figures.end(), [](auto& f) { return f.bound > 0 && f.value > f.bound; });
  return isOver ? 1 : 0;
}

}  // namespace epochly::bench

int main(int argc, char** argv) { return epochly::bench::run(argc, argv); }
