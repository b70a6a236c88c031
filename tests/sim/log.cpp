#include "sim/log.h"

#include <algorithm>
#include <string>

#include <kj/vector.h>

namespace epochly::sim {

namespace {

// $a, $b and $c stand for the line's numbers, $t for its task, $s for that task's space.
// $a and $b stand for the line's numbers, $t for its task, $s for the task's space, $w for the word.
const char* sentence(What what) {
  switch (what) {
    case What::CLIENT_CONNECTS: return "client $a connects, wants space $s";
    case What::CLIENT_WELCOME: return "client $a is welcome in space $s";
    case What::CLIENT_TURNED_AWAY: return "client $a is turned away: $w";
    case What::CLIENT_SUBMITS: return "client $a submits $b tasks from $t";
    case What::CLIENT_RECEIPT: return "client $a has a receipt for $b tasks";
    case What::CLIENT_REFUSED: return "client $a: submission refused: $w";
    case What::CLIENT_CANCELS: return "client $a cancels $t";
    case What::CLIENT_RESULT: return "client $a gets the result of $t: $w";
    case What::CLIENT_AWAY: return "client $a goes away for $b ms";
    case What::CLIENT_VANISHES: return "client $a vanishes";
    case What::CLIENT_CLOSES: return "client $a closes with $b tasks pending";
    case What::CLIENT_FORGOTTEN: return "client $a finds itself forgotten, $b tasks pending";
    case What::CLIENT_DONE: return "client $a is done";
    case What::WORKER_CONNECTS: return "worker process $a connects";
    case What::WORKER_JOINED: return "worker process $a joined as worker $b";
    case What::WORKER_GETS: return "worker $a gets task $t attempt $b";
    case What::WORKER_STARTS: return "worker $a starts task $t attempt $b";
    case What::WORKER_REPORTS: return "worker $a reports $b attempts";
    case What::WORKER_CRASHES: return "worker process $a crashes with $b attempts";
    case What::WORKER_FREEZES: return "worker process $a freezes for $b ms";
    case What::WORKER_LEAVES: return "worker $a leaves";
    case What::WORKER_GONE: return "core: worker $a is gone: $w";
    case What::TASK_ACCEPTED: return "core: task $t accepted";
    case What::TASK_ASSIGNED: return "core: task $t attempt $a assigned to worker $b";
    case What::ATTEMPT_ENDED: return "core: task $t attempt $a ended: $w";
    case What::TASK_RETRIED: return "core: task $t waits for its retry $a";
    case What::TASK_ENDED: return "core: task $t ended: $w";
    case What::STALE_REPORT: return "core: stale report";
    case What::WIRE_CUT: return "connection $a is cut";
    case What::MESSAGE_LOST: return "connection $a lost a message";
    case What::WIRE_CLOSED: return "connection $a: the $w learns that it is closed";
    case What::SCHEDULER_STALLS: return "the scheduler stalls for $a ms";
    case What::SCHEDULER_DRAINS: return "the scheduler is told to drain";
    case What::SCHEDULER_TICK: return "tick";
    case What::MISCHIEF: return "mischief: $w";
    case What::FAULTS_STOP: return "faults stop";
  }
  return "?";
}

void mix(uint64_t& sum, uint64_t word) {
  sum = (sum ^ word) * 0x9fb21c651e98df25ull;
  sum ^= sum >> 29;
}

// The space's first digits are enough to tell a few clients apart.
std::string spaceText(TaskId task) {
  char digits[8];
  snprintf(digits, sizeof(digits), "%04x", static_cast<unsigned>(task.space.value >> 48));
  return digits;
}

}  // namespace

void Log::add(const Line& line) {
  mix(sum, (line.at - kj::origin<kj::TimePoint>()) / kj::NANOSECONDS);
  mix(sum, static_cast<uint64_t>(line.what));
  mix(sum, line.task.space.value);
  mix(sum, line.task.seq);
  mix(sum, line.a);
  mix(sum, line.b);
  for (const char* c = line.word; *c != 0; c++) mix(sum, static_cast<uint64_t>(*c));
  if (verbose) puts(text(line).cStr());
  last[count++ % KEPT_MAX] = line;
}

kj::String Log::tail(size_t lines) const {
  kj::Vector<kj::String> texts;
  size_t kept = std::min<size_t>({count, KEPT_MAX, lines});
  for (size_t i = count - kept; i < count; i++) texts.add(text(last[i % KEPT_MAX]));
  return kj::strArray(texts, "\n");
}

kj::String Log::text(const Line& line) {
  std::string out;
  for (const char* c = sentence(line.what); *c != 0; c++) {
    if (*c != '$') {
      out += *c;
      continue;
    }
    switch (*++c) {
      case 'a': out += std::to_string(line.a); break;
      case 'b': out += std::to_string(line.b); break;
      case 't': out += spaceText(line.task) + "-" + std::to_string(line.task.seq); break;
      case 's': out += spaceText(line.task); break;
      default: out += line.word;
    }
  }
  char stamp[32];
  snprintf(stamp, sizeof(stamp), "%14.6f  ",
           static_cast<double>((line.at - kj::origin<kj::TimePoint>()) / kj::NANOSECONDS) * 1e-9);
  return kj::str(static_cast<const char*>(stamp), out.c_str());
}

}  // namespace epochly::sim
