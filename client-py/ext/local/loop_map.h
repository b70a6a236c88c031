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
  Mark at(int offset) const {
    auto i = static_cast<size_t>(offset) / 2;
    return i < marks.size() ? marks[i] : Mark::NONE;
  }

  // For branch events: the branch at `from` is the part of a while's test that, going to `to`, ends the loop.
  bool endsLoop(int from, int to) const;
  bool isLoopTest(int from) const;
  // For jump events: the jump back at `from` is no loop's.
  bool onlyLeavesHandler(int from) const;

  struct Exit {
    int from, to;
  };

 private:
  std::vector<Mark> marks;  // by code unit; empty: nothing jumps back
  std::vector<Exit> exits;
  std::vector<int> handlerEnds;
};

}  // namespace epochly::ext::loops
