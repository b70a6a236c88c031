// Where the loops of a code object are, read from its bytecode.
#pragma once

#include <Python.h>

#include <cstdint>
#include <vector>

namespace epochly::ext::loops {

// Offsets are in bytes, as in dis. Kept with the code object it describes and freed with it.
class LoopMap {
 public:
  // Null if the code has no loop. Never raises; code that cannot be read has no map.
  static const LoopMap* of(PyCodeObject* code);

  explicit LoopMap(PyCodeObject* code);
  bool empty() const { return marks.empty(); }

  // For a line trace, which sees where a line begins and where a jump back lands.
  enum class Mark : uint8_t {
    NONE,
    HEAD,  // a jump back lands here: an iteration, if that is how it was reached
    TEST,  // the test of a while, after its body: an iteration
  };
  Mark at(int offset) const { return marks[static_cast<size_t>(offset) / 2]; }

  // For jump and branch events.
  enum class Branch : uint8_t {
    OTHER,
    LEAVES_HANDLER,  // a jump back that is no loop's
    LOOP_TEST,       // a part of a while's test, after its body
  };
  Branch branchAt(int offset) const { return branches[static_cast<size_t>(offset) / 2]; }
  // Whether the LOOP_TEST at `from`, going to `to`, ends the loop.
  bool endsLoop(int from, int to) const;

  struct Exit {
    int from, to;
  };

 private:
  std::vector<Mark> marks;  // by code unit; empty: nothing jumps back
  std::vector<Branch> branches;
  std::vector<Exit> exits;
};

}  // namespace epochly::ext::loops
