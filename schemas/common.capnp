# What every other message is made of. This file is the specification: the prose here is normative.
#
# Evolution: fields are only added, never renumbered. Protocol numbers are negotiated in Hello/Welcome; a peer speaks every
# number in [protocolMin, protocolMax] and the scheduler picks the highest both know.
@0xd3a4a6f1c0b7e210;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("epochly::schema");

# A task's name, unique for ever. `space` is the client's namespace (random 64 bits chosen by the scheduler); `seq` counts up from 1 within it. A submission whose seq was seen before is the same submission, not a new one.
struct TaskId {
  space @0 :UInt64;
  seq @1 :UInt64;
}

# Why a level did not run. `reason` is a sentence for the user.
struct Declined {
  level @0 :UInt8;
  reason @1 :Text;
}

# What was measured of a function. NaN means "not measured", never zero.
struct Workload {
  ioWaitRatio @0 :Float64 = nan;        # waiting / wall time, 0..1
  avgLoopIterations @1 :Float64 = nan;  # per call, callees included
  avgDataSize @2 :Float64 = nan;        # elements per call
  samples @3 :UInt32;                   # calls these figures rest on
}

# A failure as data. `code` indexes the table in schemas/wire/errors.h.
struct Failure {
  code @0 :UInt16;
  message @1 :Text;     # a sentence that says what to do
  type @2 :Text;        # Python class, "module.QualName"; empty unless user code raised
  traceback @3 :Text;   # formatted, innermost last; empty unless user code raised
  pickled @4 :Data;     # the exception object itself (pickle), empty if it would not pickle
}

# One out-of-band pickle-5 buffer.
struct Buffer {
  union {
    inline @0 :Data;
    shared @1 :SharedBuffer;
  }
}

# A range of a POSIX shared memory object on one host. The creator unlinks it; see worker/objects.
struct SharedBuffer {
  host @0 :UInt64;    # HostId; only processes there can open it
  name @1 :Text;      # "/epochly-<uid>-<16 hex digits>", as for shm_open
  offset @2 :UInt64;  # bytes
  size @3 :UInt64;    # bytes
}

# A pickled value: the protocol-5 stream and its out-of-band buffers, in the order the pickler gave them out.
struct Payload {
  pickle @0 :Data;
  buffers @1 :List(Buffer);
}

struct Hello {
  protocolMin @0 :UInt16;
  protocolMax @1 :UInt16;
  token @2 :Data;       # empty when the address needs none
  software @3 :Text;    # "epochly-client/0.1.0 CPython/3.11.7", for people
  host @4 :UInt64;      # HostId, 0 if unknown
}

struct Welcome {
  protocol @0 :UInt16;
  software @1 :Text;
  httpUrl @2 :Text;         # REST base, "http://127.0.0.1:8080", empty when REST is off
  heartbeatMs @3 :UInt32;   # how often the peer must beat (workers)
  payloadBytesMax @4 :UInt32;
  batchBytesMax @5 :UInt32;
  sharedMemory @6 :Bool;    # a worker that gets work can open the peer's shared memory
}
