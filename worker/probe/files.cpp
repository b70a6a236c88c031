#include "probe/files.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <kj/debug.h>
#include <kj/io.h>

namespace epochly::probe {

kj::Maybe<kj::String> Files::read(kj::StringPtr path) const {
  int opened = open(kj::str(root, path).cStr(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return nullptr;
  kj::AutoCloseFd fd(opened);
  kj::Vector<char> text;
  char piece[4096];
  while (text.size() < PROBED_FILE_BYTES_MAX) {
    ssize_t count = ::read(fd, piece, sizeof(piece));
    if (count < 0) return nullptr;
    if (count == 0) break;
    text.addAll(piece, piece + count);
  }
  return kj::heapString(text.begin(), text.size());
}

bool Files::exists(kj::StringPtr path) const { return access(kj::str(root, path).cStr(), F_OK) == 0; }

kj::Vector<kj::String> Files::list(kj::StringPtr directory) const {
  kj::Vector<kj::String> names;
  DIR* dir = opendir(kj::str(root, directory).cStr());
  if (dir == nullptr) return names;
  KJ_DEFER(closedir(dir));
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') names.add(kj::str(static_cast<const char*>(entry->d_name)));
  }
  std::sort(names.begin(), names.end());
  return names;
}

kj::Vector<kj::String> splitLines(kj::StringPtr text) {
  kj::Vector<kj::String> lines;
  const char* begin = text.begin();
  while (begin < text.end()) {
    const char* end = std::find(begin, text.end(), '\n');
    lines.add(kj::heapString(begin, end - begin));
    begin = end + (end < text.end());
  }
  return lines;
}

kj::String trim(kj::ArrayPtr<const char> text) {
  auto begin = text.begin(), end = text.end();
  while (begin < end && isspace(static_cast<unsigned char>(*begin))) begin++;
  while (begin < end && isspace(static_cast<unsigned char>(end[-1]))) end--;
  return kj::heapString(begin, end - begin);
}

kj::Maybe<uint64_t> parseNumber(kj::StringPtr text) {
  auto digits = trim(text.asArray());
  uint64_t value = 0;
  auto [rest, error] = std::from_chars(digits.begin(), digits.end(), value);
  if (digits.size() == 0 || error != std::errc() || rest != digits.end()) return nullptr;
  return value;
}

kj::Maybe<kj::String> valueOf(kj::StringPtr text, kj::StringPtr key) {
  for (auto& line : splitLines(text)) {
    if (!line.startsWith(key)) continue;
    KJ_IF_MAYBE(colon, line.findFirst(':')) {
      if (trim(line.slice(0, *colon)) == key) return trim(line.slice(*colon + 1).asArray());
    }
  }
  return nullptr;
}

}  // namespace epochly::probe
