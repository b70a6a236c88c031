// Typed code before a split loop: how often it runs, and whether what makes its iterations independent holds.
#pragma once

#include "levels/multicore/builder.h"
#include "levels/multicore/shape.h"

namespace epochly::multicore {

class Conditions {
 public:
  // Writes at the end of what `build` writes.
  Conditions(Builder& build, const Flow& flow, const Loop& loop, const Verdict& verdict)
      : build(build), flow(flow), loop(loop), verdict(verdict) {}

  program::ValueId compute(const Poly& poly);
  program::ValueId compute(Symbol symbol);
  program::ValueId tripCount();
  // Whether it may be split, which is to run `count` times.
  program::ValueId hold(program::ValueId count);

 private:
  Builder& build;
  const Flow& flow;
  const Loop& loop;
  const Verdict& verdict;

  program::ValueId sizeOf(const program::ArrayVariable& array, uint32_t dim);
  program::ValueId strideOf(const program::ArrayVariable& array, uint32_t dim);
  program::ValueId isDistinct(const program::ArrayVariable& array);
  std::pair<program::ValueId, program::ValueId> extentOf(const program::ArrayVariable& array);
  program::ValueId areApart(const program::ArrayVariable& a, const program::ArrayVariable& b);
};

}  // namespace epochly::multicore
