// What a program makes of its command line, whatever its options are.
#pragma once

#include <cstdio>
#include <cstdlib>

#include <kj/exception.h>
#include <kj/one-of.h>
#include <kj/string.h>

namespace epochly::rt {

// Asked for something else than to run: text for stdout, exit 0.
struct Answer {
  kj::String text;
};
// One line for stderr, exit EXIT_MISTAKE.
struct Mistake {
  kj::String text;
};
constexpr int EXIT_MISTAKE = 2;

// The process's environment, as the options' parsers take it.
inline kj::Maybe<kj::StringPtr> environmentVariable(kj::StringPtr name) {
  auto value = getenv(name.cStr());
  if (value == nullptr) return nullptr;
  return kj::StringPtr(value);
}

// The exit status: that of `serve(options)`, if the command line asks to run, or what `report` makes of its exception.
template <typename Options, typename Serve, typename Report>
int runParsed(kj::OneOf<Options, Answer, Mistake> parsed, Serve&& serve, Report&& report) {
  KJ_SWITCH_ONEOF(parsed) {
    KJ_CASE_ONEOF(answer, Answer) {
      fputs(answer.text.cStr(), stdout);
      return 0;
    }
    KJ_CASE_ONEOF(mistake, Mistake) {
      fprintf(stderr, "%s\n", mistake.text.cStr());
      return EXIT_MISTAKE;
    }
    KJ_CASE_ONEOF(options, Options) {
      int status = 0;
      KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { status = serve(kj::mv(options)); })) return report(*error);
      return status;
    }
  }
  KJ_UNREACHABLE;
}

}  // namespace epochly::rt
