// One Python function at level 2: its compiled versions, one per set of argument types, and why others are not compiled.
#pragma once

#include <Python.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ext/jit/api.h"
#include "ext/jit/encode.h"
#include "ext/jit/names.h"
#include "ext/jit/reference.h"
#include "ext/jit/shape.h"
#include "ext/jit/texts.h"
#include "levels/jit/code.h"
#include "levels/multicore/split.h"

namespace epochly::ext::jit {

// Versions kept of one function. More types than this are a sign of data that wants no compiler.
constexpr size_t VERSIONS_MAX = 16;
// A version whose guards fail this many times with no success between is not tried again: each failure costs a run for nothing.
constexpr uint32_t FAILURES_MAX = 8;
// Argument types that may be looked at and declined before arguments of that kind are no longer looked at.
constexpr uint32_t DECLINES_MAX = 4;
// Calls that fast code could not finish before its version runs careful code at once: until then each costs two runs.
constexpr uint32_t RETRIES_MAX = 4;
// Frames of compiled recursion: each takes some hundred bytes of the thread's stack.
constexpr int32_t RECURSION_MAX = 3000;

struct Version {
  std::unique_ptr<program::Unit> unit;
  epochly::jit::Options options;
  // Both stay as long as the version does, once they are there.
  std::shared_ptr<epochly::jit::Code> code;     // fast
  std::shared_ptr<epochly::jit::Code> careful;  // made when the fast code gives a call back; says which guard failed
  uint32_t retries = 0;                         // calls that took both
  std::string types;                            // of the arguments, as text
  multicore::Split split;                       // of level 3: its loops
  std::unique_ptr<epochly::jit::LoopTimes[]> loopTimes;  // by the index of a loop that splits
  Assumptions assumptions;
  std::optional<Texts> texts;  // that it mentions
  std::vector<program::Type> arguments;
  program::Type result = 0;
  size_t argumentLeaves = 0;
  size_t resultLeaves = 0;
  bool releases = false;  // may run without the GIL
  bool writesArrays = false;
  uint64_t runs = 0;
  uint64_t failures = 0;
  uint32_t failuresInARow = 0;
  uint32_t lastGuard = 0;  // of the careful code
  int64_t elaborateNs = 0;
};

// Code for some types is being made, on the thread that put it into the table. Others wait without the GIL: it takes milliseconds,
// and the call in CPython may take minutes.
struct Compilation {
  const pid_t process = getpid();  // after fork() its thread is gone
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
};

enum class Ran { RETURNED, RAISED, DECLINED };

// Guarded by the GIL.
class JitFunction {
 public:
  explicit JitFunction(Asked asked) : function(asked.callable), multicore(asked.multicore), options{asked.fastmath} {}

  // RETURNED: `result`. RAISED: an exception is set. DECLINED: nothing visible has happened; `reason()` says why.
  Ran call(PyObject* const* args, size_t nargs, PyObject* names, PyObject*& result);
  // Whether a call may run compiled: there is code for these arguments, or now there is. Looks only at their kinds where a
  // version exists; call() looks closer. False: reason().
  bool ready(PyObject* const* args, size_t nargs, PyObject* names);
  // Whether there is code, for whatever arguments. Runs nothing of Python.
  bool hasCode() const;
  const std::string& reason() const { return why; }
  uint32_t reasonLine() const { return whyLine; }
  // Compiles for these arguments without calling; the version, or null with reason().
  std::shared_ptr<Version> prepare(PyObject* const* args, size_t nargs, PyObject* names);
  const std::vector<std::shared_ptr<Version>>& all() const { return versions; }
  const std::map<std::string, std::string>& declined() const { return declines; }
  PyObject* callable() const { return function; }
  // Loops of the last function that level 3 looked at and declined.
  const std::vector<multicore::LoopShape>& loopsDeclined() const { return declinedLoops; }

 private:
  PyObject* const function;  // the owner keeps it alive
  const bool multicore;
  const epochly::jit::Options options;
  std::shared_ptr<Encoded> encoded;
  Reference encodedCode;  // the code object that `encoded` is of
  size_t parameters = 0;
  bool plainlyCallable = false;  // no keyword-only parameters: so many positional arguments are all of them
  std::vector<std::shared_ptr<Version>> versions;                         // the last used first
  std::map<std::string, std::string> declines;                            // by argument types: the reason, with its line
  std::map<std::string, std::pair<uint32_t, std::string>> declinedKinds;  // how often, the last reason
  Assumptions declineAssumptions;
  std::vector<multicore::LoopShape> declinedLoops;
  std::map<std::string, std::shared_ptr<Compilation>> compiling;  // by argument types
  bool refusalLogged = false;
  std::string why;
  uint32_t whyLine = 0;

  bool decline(std::string reason, uint32_t line = 0);
  using Bound = std::span<PyObject* const>;
  // The arguments by parameter: those of the call itself, or in `store`.
  // What bind() found and nobody else holds.
  struct Store {
    std::vector<PyObject*> bound;
    std::vector<Reference> attributes;  // of the receiver
  };
  bool bind(PyObject* const* args, size_t nargs, PyObject* names, Store& store, Bound& bound);
  bool bindAttributes(PyObject* receiver, Store& store);
  bool encodeOnce();
  std::shared_ptr<Version> compile(Bound bound);
  // Throws Declined if there is none to split.
  void splitLoops(Version& version);
  // Waits while another thread makes code for these types. False: none does.
  bool awaitOther(Bound bound);
  // Runs the call with code that is there. False: there is none for these arguments.
  bool callKnown(Bound bound, Ran& ran, PyObject*& result);
  // False: the arguments are of other types.
  bool run(Version& version, Bound bound, Ran& ran, PyObject*& result);
  enum class Attempt { OTHER_TYPES, ENDED, GUARD_FAILED };
  Attempt attempt(Version& version, const epochly::jit::Code& code, Bound bound, Ran& ran, PyObject*& result);
  Attempt execute(Version& version, const epochly::jit::Code& code, class Marshal& marshal, epochly::jit::Context& context,
                  const uint64_t* arguments, Ran& ran, PyObject*& result);
  bool makeCareful(Version& version);
  // Machine code; when there is none to be had, that is logged, once.
  std::shared_ptr<epochly::jit::Code> generate(program::Unit& unit, const epochly::jit::Options& with);
  void failed(Version& version, uint32_t guard);
  void dropStale();
  bool givenUp();
};

// Api::madeCodeNs.
uint64_t madeCodeNs();
// Api::loopIterations.
uint64_t loopIterations();

}  // namespace epochly::ext::jit
