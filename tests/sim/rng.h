// Every random choice of a simulated world, from one seed.
#pragma once

#include <array>
#include <cmath>

#include <kj/debug.h>
#include <kj/time.h>

#include "core/outbox.h"

namespace epochly::sim {

// xoshiro256**, seeded by splitmix64. Choices are made with our own arithmetic, because those of std:: distributions differ
// between libraries.
class Rng final : public core::Random {
 public:
  // Streams of one seed are independent: a change in what one part of the world draws does not disturb the others.
  Rng(uint64_t seed, uint64_t stream) {
    uint64_t mixed = seed ^ (stream * 0xd1342543de82ef95ull);
    for (auto& word : state) word = splitmix(mixed);
  }

  uint64_t next() override {
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
  }

  // Uniform in [0, 1).
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  bool chance(double probability) { return unit() < probability; }
  // Uniform in [0, count); count > 0.
  uint64_t below(uint64_t count) {
    KJ_REQUIRE(count > 0);
    return next() % count;  // the bias is far below what a simulation could show
  }
  // Uniform in [least, most].
  uint64_t between(uint64_t least, uint64_t most) { return least + below(most - least + 1); }
  // As likely between 1 and 10 as between 10 and 100. 0 < least <= most.
  double logUniform(double least, double most) { return least * std::exp(unit() * std::log(most / least)); }
  uint64_t logBetween(uint64_t least, uint64_t most) {
    return static_cast<uint64_t>(logUniform(static_cast<double>(least), static_cast<double>(most) + 0.999));
  }
  double exponential(double mean) { return -mean * std::log(1 - unit()); }

 private:
  std::array<uint64_t, 4> state;

  static uint64_t rotate(uint64_t word, int bits) { return (word << bits) | (word >> (64 - bits)); }
  static uint64_t splitmix(uint64_t& state) {
    uint64_t word = (state += 0x9e3779b97f4a7c15ull);
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
  }
};

inline kj::Duration seconds(double count) { return static_cast<int64_t>(count * 1e9) * kj::NANOSECONDS; }
inline double inSeconds(kj::Duration duration) { return static_cast<double>(duration / kj::NANOSECONDS) * 1e-9; }

}  // namespace epochly::sim
