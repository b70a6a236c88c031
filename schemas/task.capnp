# Functions, tasks and their results, as client, scheduler, worker and executor exchange them.
@0x9b1f7c52d08e6a34;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("epochly::schema");
using Common = import "common.capnp";

# A pickled function. Sent once per connection; later messages name it by `id`, which the sender of the message chose and
# which means something on that connection only. A client may use an id again for another function: tasks in later messages mean
# the new one. So a program that makes functions without end stays within the scheduler's bound by keeping its ids few.
struct Function {
  id @0 :UInt32;
  hashHigh @1 :UInt64;      # BLAKE2b-128 of `code`; the function's identity everywhere
  hashLow @2 :UInt64;
  name @3 :Text;            # "module.qualname"
  code @4 :Data;            # cloudpickle stream
  pythonVersion @5 :UInt16; # major << 8 | minor that `code` needs, 0 when it was pickled by reference and any will do
  module @6 :Text;          # module that must be importable on the worker, empty when pickled by value
  hints @7 :Hints;
}

# What can be said of a function without running it. Unknown fields stay at their defaults.
struct Hints {
  hasLoop @0 :Bool;
  isCoroutine @1 :Bool;
  waits @2 :Bool;           # names a module that waits (socket, requests, sqlite3, ...)
}

struct Task {
  seq @0 :UInt64;           # TaskId.seq; TaskId.space is the session's
  function @1 :UInt32;      # Function.id of this connection
  level @2 :Int8 = -1;      # 0..4, or -1: choose for me
  retriesMax @3 :UInt16;
  timeoutMs @4 :UInt32;     # run time of one attempt, 0 = none
  dataSize @5 :Float64 = nan;  # elements in the arguments
  arguments @6 :Common.Payload;
}

# One attempt at a task, on its way to a worker.
struct Assignment {
  task @0 :Common.TaskId;
  attempt @1 :UInt32;       # fencing number: a result must carry the current one
  function @2 :UInt32;      # Function.id of this connection
  level @3 :UInt8;          # what to run it at, 0..4
  timeoutMs @4 :UInt32;
  arguments @5 :Common.Payload;
  inlineResult @6 :Bool;    # the client cannot open the worker's shared memory: large buffers of the result travel inline
}

struct Timings {            # nanoseconds; 0xffff_ffff_ffff_ffff = not measured
  queue @0 :UInt64 = 0xffffffffffffffff;     # accepted to assigned (scheduler)
  transfer @1 :UInt64 = 0xffffffffffffffff;  # assigned to started
  compile @2 :UInt64 = 0xffffffffffffffff;
  run @3 :UInt64 = 0xffffffffffffffff;       # wall time in user code
  cpu @4 :UInt64 = 0xffffffffffffffff;       # thread CPU time in user code
  wait @5 :UInt64 = 0xffffffffffffffff;      # run less cpu less the time it was ready to run and others had the CPUs
}

# How an attempt ended, from executor through worker to scheduler.
struct AttemptResult {
  task @0 :Common.TaskId;
  attempt @1 :UInt32;
  union {
    value @2 :Common.Payload;
    failure @3 :Common.Failure;
  }
  levelRan @4 :UInt8;
  declined @5 :List(Common.Declined);   # levels the executor tried before levelRan
  timings @6 :Timings;
  loopIterations @7 :Float64 = nan;     # counted in this attempt, NaN = not an instrumented one
  dataSize @8 :Float64 = nan;
  notRun @9 :Bool;                      # user code never started: give it to another, no attempt is charged
}

# How a task ended, from scheduler to client.
struct TaskResult {
  seq @0 :UInt64;
  union {
    value @1 :Common.Payload;
    failure @2 :Common.Failure;
    cancelled @3 :Void;
  }
  placement @4 :UInt32;     # index into the batch's placements
  attempt @5 :UInt32;       # the attempt that gave this result, counting from 1
  timings @6 :Timings;
}

# Why and where; shared by the results of a batch that had the same.
struct Placement {
  levelAsked @0 :Int8;
  levelChosen @1 :UInt8;
  levelRan @2 :UInt8;
  why @3 :Text;                          # reason for levelChosen
  declined @4 :List(Common.Declined);
  worker @5 :Text;                       # worker's name, empty when it never ran
  workerId @6 :UInt64;
}
