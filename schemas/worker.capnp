# Worker <-> scheduler, and worker daemon <-> executor process (same batches, over shared-memory rings).
@0xe7c9024b5fa1d386;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("epochly::schema");
using Common = import "common.capnp";
using Task = import "task.capnp";

# A fact the probe found, found absent, or could not find out.
struct Fact {
  name @0 :Text;              # "cpu.model", "gpu", "memory.limit_bytes", "cgroup.version", ...
  union {
    known @1 :Text;
    absent @2 :Text;          # how we know that it is not there
    unknown @3 :Text;         # why we could not find out
  }
}

# What a worker offers. `level` is a level number; a worker without an entry for a level declines it.
struct Capability {
  level @0 :UInt8;
  slots @1 :UInt32;           # attempts that may run at once at this level
}

struct WorkerInfo {
  name @0 :Text;              # for people: "host:pid" unless configured
  hostName @1 :Text;
  host @2 :UInt64;            # HostId
  pid @3 :UInt32;
  pythonVersion @4 :UInt16;   # major << 8 | minor
  capabilities @5 :List(Capability);
  cores @6 :UInt32;           # usable here, cgroup limits applied; 0 = unknown
  memoryBytes @7 :UInt64;     # usable here; 0 = unknown
  facts @8 :List(Fact);
}

struct Assignments {
  functions @0 :List(Task.Function);      # those this connection has not seen
  assignments @1 :List(Task.Assignment);
}

struct AttemptResults {
  results @0 :List(Task.AttemptResult);
}

struct AttemptName {
  task @0 :Common.TaskId;
  attempt @1 :UInt32;
}

# The worker's side, called by the scheduler.
interface WorkerSink {
  # Takes attempts. Returns once they are in the worker's queue; the scheduler's window bounds how many that is.
  run @0 (batch :Assignments) -> ();
  # Ends attempts, queued or running (a running one by killing its executor). Each still gets an AttemptResult.
  cancel @1 (attempts :List(AttemptName)) -> ();
  # Gives back what has not started (notRun results), finishes what has, then leaves.
  drain @2 () -> ();
  # Gives back those of the attempts that have not begun (notRun results); the others run on.
  recall @3 (attempts :List(AttemptName)) -> ();
  # Nobody will take the results of these attempts, told or still on their way: what they hold in shared memory can go.
  discard @4 (attempts :List(AttemptName)) -> ();
}

struct Load {
  queued @0 :UInt32;
  running @1 :UInt32;
  residentBytes @2 :UInt64;   # worker and executors, 0 = unknown
  executorRestarts @3 :UInt64;
}

# The scheduler's side, called by the worker.
interface WorkerSession {
  results @0 (batch :AttemptResults) -> ();
  heartbeat @1 (load :Load) -> ();
  # No new work after this returns; what is queued comes back as notRun results or by disconnecting.
  leave @2 () -> ();
}

# ---- daemon <-> executor -------------------------------------------------------------------------------------------
# Frames in a ring: a 32-bit little-endian length in bytes, then one unpacked Cap'n Proto message of this type.
struct ToExecutor {
  union {
    run @0 :Assignments;
    stop @1 :Void;                        # finish what has started, answer it, exit 0
  }
}

struct FromExecutor {
  union {
    ready @0 :Ready;                      # first frame
    results @1 :AttemptResults;
  }
  struct Ready {
    pid @0 :UInt32;
    pythonVersion @1 :UInt16;
    software @2 :Text;
  }
}
