#include "levels/jit/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <vector>

namespace epochly::jit {

namespace {

constexpr char MAGIC[8] = {'e', 'p', 'o', 'c', 'h', 'l', 'y', '1'};
// What a process left when it was killed while writing.
constexpr time_t ABANDONED_SECONDS = 3600;

// Two independent 64-bit hashes: with a million files the odds that two programs share a name are 1 in 10**26.
struct Hash {
  uint64_t a = 0xcbf29ce484222325, b = 0x9e3779b97f4a7c15;
  // Eight bytes a step: a key is some hundred bytes for each instruction, and is read before anything is known to be on disk.
  void add(std::string_view text) {
    auto size = text.size();
    for (; text.size() >= sizeof(uint64_t); text.remove_prefix(sizeof(uint64_t))) step(text.data(), sizeof(uint64_t));
    step(text.data(), text.size());
    mix(size);
  }
  void step(const char* bytes, size_t count) {
    uint64_t word = 0;
    if (count) std::memcpy(&word, bytes, count);
    mix(word);
  }
  // Of different kinds, so that no change of two words leaves both as they were: a folded product, a shift before the product.
  void mix(uint64_t word) {
    auto product = static_cast<unsigned __int128>(a ^ word) * 0x9e3779b97f4a7c15;
    a = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    b += word;
    b ^= b >> 32;
    b *= 0xff51afd7ed558ccd;
    b ^= b >> 29;
  }
  std::string hex() const {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(a),
                  static_cast<unsigned long long>(b));
    return text;
  }
};

// Before the object in a file.
struct Header {
  char magic[8];
  uint64_t size;
  uint64_t checksum[2];
};

Header headerOf(const std::string& maker, const std::string& key, const std::string& object) {
  Header header{};
  std::memcpy(header.magic, MAGIC, sizeof MAGIC);
  header.size = object.size();
  Hash hash;
  for (auto* part : {&maker, &key, &object}) hash.add(*part);
  header.checksum[0] = hash.a;
  header.checksum[1] = hash.b;
  return header;
}

class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0) : fd(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
  bool read(void* to, size_t size) const {
    for (auto* at = static_cast<char*>(to); size;) {
      auto got = ::read(fd, at, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got;
      size -= got;
    }
    return true;
  }
  bool write(const void* from, size_t size) const {
    for (auto* at = static_cast<const char*>(from); size;) {
      auto put = ::write(fd, at, size);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      at += put;
      size -= put;
    }
    return true;
  }
  const int fd;
};

// Machine code is run: only what this user alone may write.
bool isOurs(const struct stat& status) { return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0; }

bool makeFolders(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    auto part = path.substr(0, at);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return false;
    if (at == std::string::npos) return true;
  }
}

bool endsWith(const std::string& text, const char* end) {
  auto size = std::strlen(end);
  return text.size() >= size && text.compare(text.size() - size, size, end) == 0;
}

}  // namespace

Cache::Cache(std::string folder, std::string maker, uint64_t bytesMax, const char* ending)
    : folder(std::move(folder)), maker(std::move(maker)), bytesMax(bytesMax), ending(ending) {}

std::string Cache::fileOf(const std::string& key) const {
  Hash hash;
  hash.add(maker);
  hash.add(key);
  return folder + "/" + hash.hex() + ending;
}

std::optional<std::string> Cache::find(const std::string& key) const {
  if (folder.empty()) return {};
  File file(fileOf(key), O_RDONLY | O_NOFOLLOW);
  struct stat status, parent;
  if (file.fd < 0 || fstat(file.fd, &status) != 0 || !S_ISREG(status.st_mode) || !isOurs(status)) return {};
  if (stat(folder.c_str(), &parent) != 0 || !isOurs(parent)) return {};
  Header header;
  if (!file.read(&header, sizeof header) || header.size > CACHE_FILE_BYTES_MAX) return {};
  if (static_cast<uint64_t>(status.st_size) != sizeof header + header.size) return {};
  std::string object(header.size, '\0');
  if (!file.read(object.data(), object.size())) return {};
  auto wanted = headerOf(maker, key, object);
  if (std::memcmp(&wanted, &header, sizeof header) != 0) return {};
  futimens(file.fd, nullptr);  // used now: sweep() takes others first
  return object;
}

void Cache::store(const std::string& key, const std::string& object) {
  if (folder.empty() || object.size() > CACHE_FILE_BYTES_MAX || !makeFolders(folder)) return;
  struct stat parent;
  if (stat(folder.c_str(), &parent) != 0 || !isOurs(parent)) return;
  static std::atomic<uint32_t> count = 0;
  auto number = count++;
  auto path = fileOf(key);
  auto draft = folder + "/" + std::to_string(getpid()) + "-" + std::to_string(number) + ".tmp";
  auto header = headerOf(maker, key, object);
  bool whole = false;
  {
    File file(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (file.fd < 0) return;
    whole = file.write(&header, sizeof header) && file.write(object.data(), object.size());
  }
  if (!whole || rename(draft.c_str(), path.c_str()) != 0) unlink(draft.c_str());
  if (number % CACHE_STORES_BETWEEN_SWEEPS == 0) sweep();
}

void Cache::sweep() const {
  struct Entry {
    std::string path;
    uint64_t size;
    timespec used;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  auto* listing = opendir(folder.c_str());
  if (!listing) return;
  while (auto* one = readdir(listing)) {
    std::string name = one->d_name;
    auto path = folder + "/" + name;
    struct stat status;
    bool isDraft = endsWith(name, ".tmp");
    if ((!isDraft && !endsWith(name, CODE_FILES) && !endsWith(name, PROGRAM_FILES)) || lstat(path.c_str(), &status) != 0 ||
        !S_ISREG(status.st_mode))
      continue;
    if (isDraft) {
      if (status.st_mtime + ABANDONED_SECONDS < time(nullptr)) unlink(path.c_str());
      continue;
    }
    entries.push_back({path, static_cast<uint64_t>(status.st_size), status.st_mtim});
    total += status.st_size;
  }
  closedir(listing);
  if (total <= bytesMax) return;
  std::sort(entries.begin(), entries.end(), [](auto& a, auto& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (auto& entry : entries) {
    if (total <= bytesMax / 4 * 3) return;
    unlink(entry.path.c_str());
    total -= entry.size;
  }
}

std::string cacheFolder() {
  if (auto* given = std::getenv("EPOCHLY_CACHE_DIR")) return given;
  if (auto* caches = std::getenv("XDG_CACHE_HOME"); caches && *caches == '/') return std::string(caches) + "/epochly";
  if (auto* home = std::getenv("HOME"); home && *home == '/') return std::string(home) + "/.cache/epochly";
  return "";
}

std::string processorText() {
  std::string text;
#if defined(__x86_64__)
  // A virtual machine leaves to its host for each: the greatest leaf is asked for once a range.
  auto add = [&](uint32_t leaf, uint32_t sub, uint32_t last) {
    uint32_t r[4] = {};
    if (leaf <= last) __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
    if (leaf == 1) r[1] = 0;  // which core this is
    text.append(reinterpret_cast<const char*>(r), sizeof r);
  };
  auto last = __get_cpuid_max(0, nullptr), lastExtended = __get_cpuid_max(0x80000000, nullptr);
  for (auto [leaf, sub] : {std::pair<uint32_t, uint32_t>{0, 0}, {1, 0}, {7, 0}, {7, 1}}) add(leaf, sub, last);
  for (uint32_t leaf : {0x80000001, 0x80000008}) add(leaf, 0, lastExtended);
#endif
  return text;
}

}  // namespace epochly::jit
