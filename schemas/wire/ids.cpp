#include "wire/ids.h"

#include <charconv>
#include <cstdio>
#include <fstream>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

namespace epochly {

namespace {

constexpr const char* LEVEL_NAMES[LEVEL_COUNT] = {"monitor", "threads", "jit", "multicore", "gpu"};
constexpr const char* CAPABILITY_NAMES[LEVEL_COUNT] = {"cpu", "io", "jit", "multicore", "gpu"};

template <typename T>
kj::Maybe<T> parseNumber(const char* begin, const char* end, int base) {
  T value = 0;
  auto [rest, error] = std::from_chars(begin, end, value, base);
  if (begin == end || error != std::errc() || rest != end) return nullptr;
  return value;
}

// FNV-1a: stable over builds, which kj::hashCode does not promise.
uint64_t fnv(uint64_t hash, const std::string& text) {
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ull;
  return hash;
}

}  // namespace

kj::StringPtr levelName(Level level) { return LEVEL_NAMES[static_cast<uint>(level)]; }
kj::StringPtr capabilityName(Level level) { return CAPABILITY_NAMES[static_cast<uint>(level)]; }

kj::Maybe<Level> levelFromNumber(int64_t number) {
  if (number < 0 || number >= LEVEL_COUNT) return nullptr;
  return static_cast<Level>(number);
}

kj::String toString(TaskId id) {
  char text[64];
  snprintf(text, sizeof(text), "%016llx-%llu", static_cast<unsigned long long>(id.space.value),
           static_cast<unsigned long long>(id.seq));
  return kj::str(static_cast<const char*>(text));
}

kj::Maybe<TaskId> parseTaskId(kj::StringPtr text) {
  KJ_IF_MAYBE(dash, text.findFirst('-')) {
    if (*dash != 16) return nullptr;
    auto space = parseNumber<uint64_t>(text.begin(), text.begin() + *dash, 16);
    auto seq = parseNumber<uint64_t>(text.begin() + *dash + 1, text.end(), 10);
    KJ_IF_MAYBE(s, space) {
      KJ_IF_MAYBE(q, seq) return TaskId{SpaceId(*s), *q};
    }
  }
  return nullptr;
}

kj::String toString(FunctionHash hash) {
  char text[40];
  snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(hash.high),
           static_cast<unsigned long long>(hash.low));
  return kj::str(static_cast<const char*>(text));
}

kj::Maybe<FunctionHash> parseFunctionHash(kj::StringPtr text) {
  if (text.size() != 32) return nullptr;
  KJ_IF_MAYBE(high, parseNumber<uint64_t>(text.begin(), text.begin() + 16, 16)) {
    KJ_IF_MAYBE(low, parseNumber<uint64_t>(text.begin() + 16, text.end(), 16)) return FunctionHash{*high, *low};
  }
  return nullptr;
}

TaskId readTaskId(schema::TaskId::Reader reader) { return TaskId{SpaceId(reader.getSpace()), reader.getSeq()}; }

void writeTaskId(TaskId id, schema::TaskId::Builder builder) {
  builder.setSpace(id.space.value);
  builder.setSeq(id.seq);
}

namespace {

HostId readHost(uid_t user) {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  struct stat shm;
  if (!std::getline(file, boot) || stat("/dev/shm", &shm) != 0) return HostId(0);
  auto mark = boot + ' ' + std::to_string(shm.st_dev) + ' ' + std::to_string(user);
  return HostId(fnv(0xcbf29ce484222325ull, mark));
}

}  // namespace

HostId thisHost() {
  struct Known {
    uid_t user = geteuid();
    HostId host = readHost(user);
  };
  thread_local Known known;  // asked for with every batch; a process stays where it is, though not always whose it is
  if (known.user != geteuid()) known = Known();
  return known.host;
}

kj::String toString(PythonVersion version) {
  if (version.value == 0) return kj::str("any");
  return kj::str(version.value >> 8, ".", version.value & 0xff);
}

}  // namespace epochly
