// The file system as the probe sees it: below a root that tests can choose.
#pragma once

#include <cstdint>

#include <kj/string.h>
#include <kj/vector.h>

namespace epochly::probe {

// Nothing the probe reads is longer; a longer file is cut.
constexpr size_t PROBED_FILE_BYTES_MAX = 1u << 20;

class Files {
 public:
  explicit Files(kj::StringPtr root = "") : root(kj::str(root)) {}

  // None if it cannot be read.
  kj::Maybe<kj::String> read(kj::StringPtr path) const;
  bool exists(kj::StringPtr path) const;
  kj::Vector<kj::String> list(kj::StringPtr directory) const;  // names, sorted; empty if it cannot be read

 private:
  kj::String root;  // without a slash at the end
};

kj::Vector<kj::String> splitLines(kj::StringPtr text);
kj::String trim(kj::ArrayPtr<const char> text);
// None unless all of `text` but white space around it is a decimal number that fits.
kj::Maybe<uint64_t> parseNumber(kj::StringPtr text);
// The text after `key` and a colon on the first line that begins with them ("model name : X"), without white space.
kj::Maybe<kj::String> valueOf(kj::StringPtr text, kj::StringPtr key);

}  // namespace epochly::probe
