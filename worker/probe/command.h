// Runs a program and reads what it says.
#pragma once

#include <kj/array.h>
#include <kj/string.h>
#include <kj/time.h>

namespace epochly::probe {

struct CommandResult {
  kj::String output;             // standard output, at most COMMAND_OUTPUT_BYTES_MAX
  kj::Maybe<kj::String> failed;  // why it did not run, or did not exit with 0, as a clause: "exited with status 1"
};

constexpr size_t COMMAND_OUTPUT_BYTES_MAX = 64u << 10;

// arguments[0] is found on the PATH. Standard input is empty, standard error is dropped. Blocks; kills it after `deadline`.
CommandResult runCommand(kj::ArrayPtr<const kj::StringPtr> arguments, kj::Duration deadline);

}  // namespace epochly::probe
