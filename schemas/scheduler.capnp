# The scheduler's bootstrap interface, and its client sessions.
@0xa86d31f0e2c4b975;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("epochly::schema");
using Common = import "common.capnp";
using Task = import "task.capnp";
using Worker = import "worker.capnp";

# Errors of every method here are kj exceptions whose description starts with a code of schemas/wire/errors.h in brackets.
# Until one of the methods has answered, a message may hold HANDSHAKE_BYTES_MAX of schemas/wire/task_spec.h, and the peer has
# HANDSHAKE_MS: so wait for the answer before the first batch.
interface Gateway {
  # A known space resumes: results not yet acknowledged are sent again. Any other, 0 or one that was forgotten, gets a new
  # namespace: the answer says which, so a client that wanted another knows that its tasks are gone.
  openClient @0 (hello :Common.Hello, space :UInt64, sink :ClientSink)
      -> (welcome :Common.Welcome, space :UInt64, session :ClientSession);
  joinWorker @1 (hello :Common.Hello, info :Worker.WorkerInfo, sink :Worker.WorkerSink)
      -> (welcome :Common.Welcome, workerId :UInt64, session :Worker.WorkerSession);
}

struct Submission {
  functions @0 :List(Task.Function);   # those this connection has not seen
  tasks @1 :List(Task.Task);           # seq strictly ascending
  workloads @2 :List(FunctionWorkload);
}

# Measured by the client since it last told; folded into the function's history.
struct FunctionWorkload {
  function @0 :UInt32;
  workload @1 :Common.Workload;
}

# The first `accepted` tasks of the submission are the scheduler's responsibility from now on. If that is not all of them the
# rest was not looked at: send it again after retryAfterMs.
struct Receipt {
  accepted @0 :UInt32;
  retryAfterMs @1 :UInt32;
  sharedMemory @2 :Bool;               # as Welcome.sharedMemory, now
}

interface ClientSession {
  submit @0 (batch :Submission) -> (receipt :Receipt);
  cancel @1 (seqs :List(UInt64)) -> ();          # a cancelled task still ends in exactly one TaskResult
  workers @2 () -> (workers :List(WorkerStatus));
  functions @3 () -> (functions :List(FunctionStatus));
  explain @4 (seq :UInt64) -> (text :Text);      # why it is where it is
  close @5 () -> ();                             # forget this namespace: queued tasks are cancelled
  totals @6 () -> (totals :Totals);
}

interface ClientSink {
  # Returning acknowledges the batch: the scheduler forgets the values.
  results @0 (batch :Results) -> ();
}

struct Results {
  results @0 :List(Task.TaskResult);
  placements @1 :List(Task.Placement);
}

struct WorkerStatus {
  id @0 :UInt64;
  info @1 :Worker.WorkerInfo;
  state @2 :State;
  load @3 :Worker.Load;
  window @4 :UInt32;          # attempts it may hold now
  inflight @5 :UInt32;
  completed @6 :UInt64;
  secondsSinceHeartbeat @7 :Float64 = nan;
  enum State { ready @0; draining @1; }
}

struct FunctionStatus {
  hashHigh @0 :UInt64;
  hashLow @1 :UInt64;
  name @2 :Text;
  calls @3 :UInt64;
  errors @4 :UInt64;
  workload @5 :Common.Workload;
  levelChosen @6 :UInt8;
  why @7 :Text;
  runSecondsMean @8 :Float64 = nan;
}

struct Totals {
  queued @0 :UInt64;
  running @1 :UInt64;
  succeeded @2 :UInt64;
  failed @3 :UInt64;
  cancelled @4 :UInt64;
  retried @5 :UInt64;
  staleResults @6 :UInt64;
  workers @7 :UInt32;
}
