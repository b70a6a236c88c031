// A Cap'n Proto struct on its own, in exactly as much memory as it needs.
#pragma once

#include <cstring>

#include <capnp/message.h>
#include <kj/array.h>

namespace epochly::run {

// A deep copy that owns its memory: one allocation. T: schema::Task, ...
template <typename T>
class Owned {
 public:
  explicit Owned(typename T::Reader from) : words(kj::heapArray<capnp::word>(from.totalSize().wordCount + 1)) {
    memset(words.begin(), 0, words.asBytes().size());
    capnp::copyToUnchecked(from, words);
  }
  Owned(Owned&&) noexcept = default;

  typename T::Reader get() const { return capnp::readMessageUnchecked<T>(words.begin()); }
  size_t bytes() const { return words.asBytes().size(); }

 private:
  kj::Array<capnp::word> words;
};

}  // namespace epochly::run
