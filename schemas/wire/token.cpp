#include "wire/token.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <kj/io.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/errors.h"

namespace epochly {

namespace {

bool isSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

kj::Exception unusable(kj::StringPtr path, kj::StringPtr why) {
  return makeError(ErrorCode::INVALID_ARGUMENT, kj::str("token file ", path, ' ', why));
}

}  // namespace

Token Token::of(kj::StringPtr text) {
  auto begin = text.begin(), end = text.end();
  while (begin < end && isSpace(*begin)) begin++;
  while (begin < end && isSpace(end[-1])) end--;
  auto secret = kj::str(kj::arrayPtr(begin, end));
  if (secret.size() < TOKEN_BYTES_MIN || secret.size() > TOKEN_BYTES_MAX) {
    kj::throwFatalException(
        makeError(ErrorCode::INVALID_ARGUMENT,
                  kj::str("a token has ", TOKEN_BYTES_MIN, " to ", TOKEN_BYTES_MAX, " characters, this one ", secret.size(),
                          ": write one with `openssl rand -hex 32`")));
  }
  for (unsigned char c : secret) {
    if (c > ' ' && c < 0x7f) continue;
    kj::throwFatalException(
        makeError(ErrorCode::INVALID_ARGUMENT, "a token is printable ASCII without spaces: it travels in an HTTP header"));
  }
  return Token(kj::mv(secret));
}

Token Token::load(kj::StringPtr path) {
  int fd = open(path.cStr(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) kj::throwFatalException(unusable(path, kj::str("cannot be read: ", strerror(errno))));
  kj::AutoCloseFd file(fd);
  struct stat facts;
  if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) kj::throwFatalException(unusable(path, "is not a regular file"));
  if (facts.st_mode & S_IRWXO) {
    kj::throwFatalException(unusable(path, kj::str("is open to other users: chmod o-rwx ", path)));
  }
  char text[TOKEN_BYTES_MAX + 64];  // room for the bound and white space around it
  size_t size = 0;
  while (size < sizeof(text)) {
    ssize_t n = read(file, text + size, sizeof(text) - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) kj::throwFatalException(unusable(path, kj::str("cannot be read: ", strerror(errno))));
    if (n == 0) break;
    size += n;
  }
  return of(kj::str(kj::arrayPtr(text, size)));
}

bool Token::matches(kj::ArrayPtr<const byte> offered) const {
  auto mine = secret.asBytes();
  volatile size_t difference = mine.size() ^ offered.size();
  for (size_t i = 0; i < offered.size(); i++)
    difference = difference | static_cast<size_t>(offered[i] ^ mine[i % mine.size()]);
  return difference == 0;
}

}  // namespace epochly
