// The page, its table and the documentation of it.
#include "metrics/page.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "metrics/names.h"

namespace epochly::metrics {
namespace {

using testing::HasSubstr;

// Everything has happened at least once.
Snapshot everything() {
  Metrics metrics;
  core::Function function;
  function.name = kj::str("app.f\"\n\\");
  core::Task task;
  task.function = &function;
  core::Worker worker;
  metrics.submitted(task);
  metrics.refused(ErrorCode::SHUTTING_DOWN, 3);
  metrics.attemptEnded(task, core::AttemptEnd::EXECUTOR_DIED);
  metrics.declined(Level::GPU);
  metrics.workerJoined(worker);
  metrics.workerGone(worker, "left");
  metrics.loopLag(2 * kj::MILLISECONDS);
  core::Result result;
  result.outcome = core::Outcome::FAILED;
  result.failure = Failure::of(ErrorCode::TIMEOUT, kj::str("too long"));
  result.timings = core::Timings{1, 2, 3, 4, 5};
  metrics.ended(task, result, 1 * kj::SECONDS);
  core::Core core;
  return Snapshot::take(metrics, core, Outside{.rpcConnections = 1}, kj::origin<kj::TimePoint>());
}

struct Documented {
  std::string type, labels, meaning;
  bool operator==(const Documented&) const = default;
};

std::map<std::string, Documented> documentation() {
  std::ifstream file(EPOCHLY_METRICS_MD);
  std::map<std::string, Documented> rows;
  std::regex row(R"(\| `([a-z_]+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|)");
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, row)) rows[match[1]] = {match[2], match[3], match[4]};
  }
  return rows;
}

TEST(MetricsPage, IsDocumentedRowByRow) {
  auto documented = documentation();
  for (uint i = 0; i < NAME_COUNT; i++) {
    auto& told = row(static_cast<Name>(i));
    Documented expected{kindName(told.kind), *told.labels == 0 ? "-" : told.labels, told.help};
    ASSERT_EQ(documented.count(told.name), 1u) << told.name << " is not in docs/metrics.md";
    EXPECT_EQ(documented[told.name], expected) << told.name;
    documented.erase(told.name);
  }
  for (auto& [name, rest] : documented) ADD_FAILURE() << name << " is documented and does not exist";
}

TEST(MetricsPage, TellsWhatTheTableNamesAndNothingElse) {
  std::istringstream text(page(everything()));
  std::set<std::string> told;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) told.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  std::set<std::string> named;
  for (uint i = 0; i < NAME_COUNT; i++) named.insert(row(static_cast<Name>(i)).name);
  EXPECT_EQ(told, named);
}

TEST(MetricsPage, CarriesTheLabelsThatTheTableNames) {
  std::istringstream text(page(everything()));
  std::regex sample(R"((\w+?)(_bucket|_sum|_count)?(\{(.*)\})? \S+)");
  std::regex label(R"((\w+)="(?:[^"\\]|\\.)*")");
  std::map<std::string, std::set<std::string>> expected;
  for (uint i = 0; i < NAME_COUNT; i++) {
    std::istringstream labels(row(static_cast<Name>(i)).labels);
    auto& set = expected[row(static_cast<Name>(i)).name];
    for (std::string word; labels >> word;) set.insert(word.back() == ',' ? word.substr(0, word.size() - 1) : word);
  }
  for (std::string line; std::getline(text, line);) {
    std::smatch match;
    if (line.starts_with('#') || !std::regex_match(line, match, sample)) continue;
    std::string labels = match[4];
    std::set<std::string> seen;
    for (std::sregex_iterator it(labels.begin(), labels.end(), label), end; it != end; ++it) {
      if ((*it)[1] != "le") seen.insert((*it)[1]);
    }
    EXPECT_EQ(seen, expected[match[1]]) << line;
  }
}

TEST(MetricsPage, HistogramsAreCumulativeAndEndInInfinity) {
  auto text = page(everything());
  EXPECT_THAT(text, HasSubstr("epochly_task_end_to_end_seconds_bucket{level=\"monitor\",le=\"0.5\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("epochly_task_end_to_end_seconds_bucket{level=\"monitor\",le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("epochly_task_end_to_end_seconds_bucket{level=\"monitor\",le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("epochly_task_end_to_end_seconds_sum{level=\"monitor\"} 1\n"));
}

TEST(MetricsPage, PromtoolHasNothingToSay) {
  if (system("command -v promtool >/dev/null") != 0) GTEST_SKIP() << "promtool (Debian package prometheus) is not installed";
  char path[] = "/tmp/epochly-metrics-XXXXXX";
  close(mkstemp(path));
  std::ofstream(path) << page(everything());
  auto command = std::string("promtool check metrics < ") + path + " 2>&1";
  auto pipe = popen(command.c_str(), "r");
  std::string said;
  char buffer[512];
  while (fgets(buffer, sizeof(buffer), pipe) != nullptr) said += buffer;
  EXPECT_EQ(pclose(pipe), 0) << said;
  EXPECT_EQ(said, "");
  unlink(path);
}

}  // namespace
}  // namespace epochly::metrics
