#include "probe/python.h"

#include "probe/command.h"
#include "probe/files.h"

namespace epochly::probe {

namespace {

// A cold network disk takes some seconds.
constexpr kj::Duration DEADLINE = 30 * kj::SECONDS;

constexpr kj::StringPtr QUESTION =
    "import sys\n"
    "print(sys.implementation.name)\n"
    "print(sys.version_info[0])\n"
    "print(sys.version_info[1])\n"
    "print('.'.join(map(str, sys.version_info[:3])))\n"
    "print(sys.executable)\n"_kj;

// What levels 2 and 3 run calls with and, where there is nothing, why not.
constexpr kj::StringPtr ENGINES_QUESTION =
    "from epochly import _native\n"
    "for level in (2, 3):\n"
    "    means, why = _native.engine(level)\n"
    "    print(', '.join(means))\n"
    "    print(why or '-')\n"_kj;

Python unusable(Facts& facts, kj::String problem) {
  facts.unknown("python.version", kj::str("the interpreter ", problem));
  return {PythonVersion(), kj::mv(problem)};
}

}  // namespace

Python probePython(kj::StringPtr program, Facts& facts) {
  kj::StringPtr command[] = {program, "-I", "-S", "-c", QUESTION};
  auto result = runCommand(command, DEADLINE);
  KJ_IF_MAYBE(why, result.failed) return unusable(facts, kj::mv(*why));
  auto lines = splitLines(result.output);
  if (lines.size() < 5) return unusable(facts, kj::str("did not answer as a Python does"));
  auto major = parseNumber(lines[1]).orDefault(0), minor = parseNumber(lines[2]).orDefault(0);
  if (major == 0 || major > 255 || minor > 255) return unusable(facts, kj::str("did not answer as a Python does"));

  Python python{PythonVersion{static_cast<uint16_t>(major << 8 | minor)}};
  facts.known("python.implementation", kj::str(lines[0]));
  facts.known("python.version", kj::str(lines[3]));
  facts.known("python.executable", kj::str(lines[4]));
  if (lines[0] != "cpython") python.problem = kj::str("is ", lines[0], ", not CPython");
  if (python.version.value < PYTHON_MIN.value) {
    python.problem = kj::str("is version ", toString(python.version), "; Epochly needs ", toString(PYTHON_MIN), " or newer");
  }
  return python;
}

Engines probeEngines(kj::StringPtr program, Facts& facts) {
  kj::StringPtr command[] = {program, "-c", ENGINES_QUESTION};
  auto result = runCommand(command, DEADLINE);
  KJ_IF_MAYBE(why, result.failed) {
    for (auto name : {"python.jit", "python.multicore"}) facts.unknown(name, kj::str("the interpreter ", *why));
    return {};
  }
  auto lines = splitLines(result.output);
  auto has = [&](size_t line, kj::StringPtr name) {
    bool told = lines.size() > line + 1;
    if (told && lines[line].size() > 0) {
      facts.known(name, kj::str(lines[line]));
      return true;
    }
    facts.absent(name, told ? kj::str(lines[line + 1]) : kj::str("the package did not say why"));
    return false;
  };
  bool jit = has(0, "python.jit");
  return {jit, has(2, "python.multicore")};
}

}  // namespace epochly::probe
