// What earlier processes left on disk: object files, and programs as the SDK encodes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace epochly::jit {

// All files of a cache together. Code of one function takes 2 to 20 kB: some thousand functions.
constexpr uint64_t CACHE_BYTES_MAX = uint64_t(64) << 20;
// A file of more is not read: no unit makes it.
constexpr uint64_t CACHE_FILE_BYTES_MAX = uint64_t(16) << 20;
// Stores between two looks at how much there is: so much may be above the bound meanwhile.
constexpr uint32_t CACHE_STORES_BETWEEN_SWEEPS = 32;

// The ending of a cache's files. All kinds share a folder and its bound.
constexpr char CODE_FILES[] = ".code";
constexpr char PROGRAM_FILES[] = ".program";

// A folder of files named by the hash of what they are for. Any number of processes use it at a time: a file appears whole, by
// rename(), and is never changed. What cannot be read, is cut off, or is of another version is as if it were not there; what cannot
// be written is not written. Thread-safe.
class Cache {
 public:
  // `folder` is made when first written to; empty: nothing is kept. `maker`: whose code it is, say compiler, version and processor.
  Cache(std::string folder, std::string maker, uint64_t bytesMax = CACHE_BYTES_MAX, const char* ending = CODE_FILES);

  std::optional<std::string> find(const std::string& key) const;
  void store(const std::string& key, const std::string& object);
  // Removes the files that were used longest ago until three quarters of the bound are left.
  void sweep() const;
  const std::string& path() const { return folder; }

 private:
  const std::string folder, maker;
  const uint64_t bytesMax;
  const char* const ending;
  std::string fileOf(const std::string& key) const;
};

// $EPOCHLY_CACHE_DIR, else epochly in $XDG_CACHE_HOME or ~/.cache; empty: none of them is set, or the first is set to nothing.
std::string cacheFolder();
// What machine code depends on of this processor.
std::string processorText();

}  // namespace epochly::jit
