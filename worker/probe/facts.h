// A fact the probe found, found absent, or could not find out (schemas/worker.capnp: Fact).
#pragma once

#include <cstdint>

#include <kj/string.h>
#include <kj/vector.h>

namespace epochly::probe {

struct Fact {
  enum class Kind : uint8_t { KNOWN, ABSENT, UNKNOWN };

  kj::String name;   // "cpu.model"
  Kind kind;
  kj::String text;   // the value; how we know that it is not there; why we could not find out
};

class Facts {
 public:
  void known(kj::StringPtr name, kj::String value) { add(name, Fact::Kind::KNOWN, kj::mv(value)); }
  void absent(kj::StringPtr name, kj::String how) { add(name, Fact::Kind::ABSENT, kj::mv(how)); }
  void unknown(kj::StringPtr name, kj::String why) { add(name, Fact::Kind::UNKNOWN, kj::mv(why)); }
  kj::Array<Fact> release() { return facts.releaseAsArray(); }

 private:
  kj::Vector<Fact> facts;

  void add(kj::StringPtr name, Fact::Kind kind, kj::String text) { facts.add(Fact{kj::str(name), kind, kj::mv(text)}); }
};

}  // namespace epochly::probe
