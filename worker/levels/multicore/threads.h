// oneTBB's threads, which any number of calls share: made when first needed, ended before a fork, asked for help with a job.
#pragma once

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "levels/multicore/cores.h"
#include "levels/multicore/job.h"
#include "levels/multicore/team.h"

namespace epochly::multicore {

// The process's. Thread-safe.
class Threads {
 public:
  static Threads& get();

  int cores();
  bool isOrphaned();
  int64_t chunkNs() const { return chunkTime.load(std::memory_order_relaxed); }
  void setCores(int cores, int64_t chunkNs);
  // Asks for helpers; fewer or none may come.
  void help(const std::shared_ptr<Job>& job, int helpers);

  // A caller's time in a loop.
  class Calling {
   public:
    explicit Calling(Threads& threads) : threads(threads) {
      std::lock_guard lock(threads.mutex);
      threads.jobs++;
      threads.busy++;
    }
    ~Calling() {
      std::lock_guard lock(threads.mutex);
      threads.jobs--;
      threads.busy--;
    }
    Calling(const Calling&) = delete;

   private:
    Threads& threads;
  };

 private:
  std::mutex mutex;
  std::unique_ptr<tbb::task_arena> arena;        // null: none of its threads exists
  std::unique_ptr<tbb::global_control> allowed;  // more threads than the machine has cores
  std::optional<tbb::task_scheduler_handle> handle;
  // Taken after `mutex`, which helpers never take: who ends them holds it.
  std::mutex askedMutex;
  std::deque<std::shared_ptr<Job>> asked;  // one for each helper that is to come: CORES_MAX for each loop that runs at most
  std::atomic<int> wanted = coresToUse();
  std::atomic<int64_t> chunkTime{CHUNK_NS_MIN};
  int threads = 0;             // that the arena was made for
  int jobs = 0;                // loops that run
  std::atomic<int> busy{0};    // threads that run chunks
  bool orphaned = false;       // forked off a process whose threads were at work: oneTBB cannot be started anew here
  bool childOrphaned = false;  // what `orphaned` will be in the child of the fork() that is under way

  Threads();
  void make();
  // Ends the threads. False: somebody else uses them.
  bool drop();
  // Threads are not forked: they are ended before, and made anew when a loop needs them.
  void beforeFork();
  void afterFork(bool inChild);
  void workOnNext();
  void work(Job& job);
  void helpWith(Job& job, int cores);
};

}  // namespace epochly::multicore
