// What each route answers, from a core that the test holds.
#include "rest/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/debug.h>
#include <boost/json.hpp>

#include "support/sched_env.h"

namespace epochly::rest {
namespace {

namespace json = boost::json;
using test::TaskBuilder;
using test::WorkerBuilder;
using testing::HasSubstr;

Access loopback(kj::Maybe<const Token&> token = nullptr) {
  return Access(KJ_ASSERT_NONNULL(rt::parseHostPort("127.0.0.1:80")), {}, token);
}

struct Env : test::SchedEnv {
  Api api{loopback(), FigureSource{[] { return std::vector<LevelFigures>{LevelFigures{.level = Level::JIT}}; },
                                   [] { return [] { return std::string("# a page\n"); }; }}};

  Reply ask(std::string_view method, std::string_view target, std::string_view body = "",
            std::string_view contentType = "application/json") {
    Request request{method, target, contentType, body, Caller{.host = "localhost"}};
    if (auto refused = api.refuse(request)) return *refused;
    auto outcome = api.answer(request);
    if (auto reply = std::get_if<Reply>(&outcome)) return *reply;
    return std::get<Question>(outcome)(Moment{core, thresholds, now, 1e9})();
  }
  json::value get(std::string_view target) {
    auto reply = ask("GET", target);
    EXPECT_EQ(reply.status, 200u) << reply.body;
    return json::parse(reply.body);
  }
  json::value classify(std::string_view body) {
    auto reply = ask("POST", "/api/v1/classify", body);
    EXPECT_EQ(reply.status, 200u) << reply.body;
    return json::parse(reply.body);
  }
};

std::string header(const Reply& reply, const std::string& name) {
  for (auto& [key, value] : reply.headers) {
    if (key == name) return value;
  }
  return "";
}

void expectProblem(const Reply& reply, unsigned status) {
  EXPECT_EQ(reply.status, status) << reply.body;
  EXPECT_EQ(reply.contentType, "application/problem+json");
  auto body = json::parse(reply.body).as_object();
  EXPECT_EQ(body["status"], json::value(status));
  for (const char* member : {"type", "title", "detail"}) EXPECT_TRUE(body[member].is_string()) << member;
}

// ---- what is refused -----------------------------------------------------------------------------------------------

TEST(Api, SaysWhatIsNotThereAndWhatIsNotOffered) {
  Env env;
  expectProblem(env.ask("GET", "/"), 404);
  expectProblem(env.ask("GET", "/api/v1/tasks/"), 404);
  expectProblem(env.ask("GET", "/api/v1/tasks/a/b"), 404);
  expectProblem(env.ask("GET", "not a path"), 400);
  auto wrong = env.ask("POST", "/api/v1/workers");
  expectProblem(wrong, 405);
  EXPECT_EQ(header(wrong, "Allow"), "GET, HEAD");
  auto read = env.ask("GET", "/api/v1/classify");
  expectProblem(read, 405);
  EXPECT_EQ(header(read, "Allow"), "POST");
  expectProblem(env.ask("POST", "/api/v1/classify", "{}", "text/plain"), 415);
  expectProblem(env.ask("POST", "/api/v1/classify", "{}", ""), 415);
  EXPECT_EQ(env.ask("POST", "/api/v1/classify", "{}", "Application/JSON; charset=utf-8").status, 200u);
}

TEST(Api, OnlyTheProbesAreOpenWithoutAToken) {
  auto token = Token::of("00112233445566778899aabbccddeeff");
  Api api(loopback(token), FigureSource{});
  auto status = [&](std::string_view target) {
    auto refused = api.refuse(Request{"GET", target, "", "", Caller{.host = "localhost"}});
    return refused ? refused->status : 200;
  };
  EXPECT_EQ(status("/livez"), 200u);
  EXPECT_EQ(status("/readyz"), 200u);
  for (const char* path : {"/metrics", "/api/v1/workers", "/api/v1/openapi.json", "/no/such"})
    EXPECT_EQ(status(path), 401u) << path;
}

// ---- state ---------------------------------------------------------------------------------------------------------

TEST(Api, IsReadyUntilItDrains) {
  Env env;
  EXPECT_EQ(env.ask("GET", "/livez").status, 200u);
  EXPECT_EQ(env.ask("GET", "/readyz").status, 200u);
  env.events.onDrain(env.now);
  EXPECT_EQ(env.ask("GET", "/livez").status, 200u);
  expectProblem(env.ask("GET", "/readyz"), 503);
}

TEST(Api, MetricsTellTotalsAndLevels) {
  Env env;
  env.submit();
  auto body = env.get("/api/v1/metrics").as_object();
  EXPECT_EQ(body["totals"].as_object()["queued"], json::value(1));
  EXPECT_EQ(body["totals"].as_object()["submitted"], json::value(1));
  EXPECT_EQ(body["levels"].as_array()[0].as_object()["name"], json::value("jit"));
  EXPECT_TRUE(body["levels"].as_array()[0].as_object()["cpu_seconds"].is_null()) << "not measured";
  EXPECT_EQ(env.ask("GET", "/metrics").body, "# a page\n");
}

TEST(Api, WorkersCarryUnknownFactsAsUnknown) {
  Env env;
  env.join(WorkerBuilder().cpus(2).offers(Level::THREADS, 16));
  auto items = env.get("/api/v1/workers").as_object()["items"].as_array();
  ASSERT_EQ(items.size(), 1u);
  auto worker = items[0].as_object();
  EXPECT_EQ(worker["id"], json::value("1"));
  EXPECT_EQ(worker["state"], json::value("ready"));
  EXPECT_EQ(worker["python_version"], json::value("3.11"));
  EXPECT_TRUE(worker["cores"].is_null());
  EXPECT_TRUE(worker["memory_bytes"].is_null());
  EXPECT_TRUE(worker["load"].as_object()["resident_bytes"].is_null());
  EXPECT_EQ(worker["capabilities"].as_array().size(), 2u);
  EXPECT_EQ(worker["last_heard_at"], json::value("2001-09-09T01:46:40.000Z"));
}

TEST(Api, FunctionsTellWhatWasMeasuredAndWhatWouldBeChosen) {
  Env env;
  env.tell(1);
  env.events.onWorkload(FunctionHash{0, 1}, core::Workload{.ioWaitRatio = 0.9, .samples = 10});
  auto items = env.get("/api/v1/functions").as_object()["items"].as_array();
  ASSERT_EQ(items.size(), 1u);
  auto function = items[0].as_object();
  EXPECT_EQ(function["hash"], json::value("00000000000000000000000000000001"));
  EXPECT_EQ(function["chosen"].as_object()["level"], json::value(1));
  EXPECT_EQ(function["chosen"].as_object()["reason"], json::value("io_bound"));
  EXPECT_TRUE(function["workload"].as_object()["avg_loop_iterations"].is_null());
}

// ---- pages ---------------------------------------------------------------------------------------------------------

template <typename Name>
std::vector<std::string> readPages(Env& env, const std::string& path, Name name, size_t& pages) {
  std::vector<std::string> names;
  std::string cursor;
  for (pages = 0; pages < 100; pages++) {
    auto body = env.get(path + "?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor)).as_object();
    for (auto& item : body["items"].as_array()) names.push_back(item.as_object()[name].as_string().c_str());
    if (body["next_cursor"].is_null()) break;
    cursor = body["next_cursor"].as_string().c_str();
  }
  return names;
}

TEST(Api, ListsArePagedWithoutGapsOrRepetitions) {
  Env env;
  for (int i = 0; i < 6; i++) {
    env.join();
    env.tell(i + 1);
  }
  size_t pages;
  EXPECT_THAT(readPages(env, "/api/v1/workers", "id", pages), testing::ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_EQ(pages, 1u) << "the second page, full, knows that it is the last";
  EXPECT_EQ(readPages(env, "/api/v1/functions", "hash", pages).size(), 6u);
  expectProblem(env.ask("GET", "/api/v1/workers?limit=0"), 422);
  expectProblem(env.ask("GET", "/api/v1/workers?limit=1001"), 422);
  expectProblem(env.ask("GET", "/api/v1/workers?cursor=x"), 422);
  expectProblem(env.ask("GET", "/api/v1/functions?cursor=1"), 422);
  EXPECT_EQ(env.ask("GET", "/api/v1/workers?limit=1000").status, 200u);
}

// ---- tasks ---------------------------------------------------------------------------------------------------------

std::string pathOf(TaskId id) { return std::string("/api/v1/tasks/") + toString(id).cStr(); }

TEST(Api, ATaskIsShownFromTheQueueToItsEnd) {
  Env env;
  auto id = env.submit(TaskBuilder().level(Level::JIT).retries(2));
  auto queued = env.get(pathOf(id)).as_object();
  EXPECT_EQ(queued["state"], json::value("queued"));
  EXPECT_EQ(queued["id"], json::value(toString(id).cStr()));
  EXPECT_EQ(queued["level_asked"], json::value(2));
  EXPECT_EQ(queued["retries_left"], json::value(2));
  EXPECT_TRUE(queued["worker"].is_null());
  EXPECT_TRUE(queued["attempt"].is_null());
  EXPECT_EQ(queued["accepted_at"], json::value("2001-09-09T01:46:40.000Z"));
  EXPECT_THAT(queued["explanation"].as_string().c_str(), HasSubstr("no worker has joined"));

  auto worker = env.join();
  auto running = env.get(pathOf(id)).as_object();
  EXPECT_EQ(running["state"], json::value("running"));
  EXPECT_EQ(running["worker"].as_object()["name"], json::value("w"));
  EXPECT_EQ(running["level"].as_object()["name"], json::value("monitor")) << "no worker offers jit";

  events::AttemptReport report{.task = id, .attempt = Attempt(1)};
  report.timings.run = 1'000'000;
  env.events.onResults(worker, kj::arrayPtr(&report, 1), env.now);
  auto ended = env.get(pathOf(id)).as_object();
  EXPECT_EQ(ended["state"], json::value("succeeded"));
  EXPECT_EQ(ended["timings"].as_object()["run_seconds"], json::value(0.001));
  EXPECT_TRUE(ended["timings"].as_object()["compile_seconds"].is_null());
  EXPECT_TRUE(ended["error"].is_null());
}

TEST(Api, AnUnknownTaskIsAProblem) {
  Env env;
  expectProblem(env.ask("GET", "/api/v1/tasks/0000000000000001-1"), 404);
  expectProblem(env.ask("GET", "/api/v1/tasks/nonsense"), 404);
}

// ---- classify ------------------------------------------------------------------------------------------------------

TEST(Api, ClassifiesAsTheGuideDoes) {
  Env env;
  struct Row {
    const char* body;
    int level;
    const char* reason;
  };
  const Row rows[] = {
      {R"({"io_wait_ratio": 0.51})", 1, "io_bound"},
      {R"({"io_wait_ratio": 0.5})", 0, "not_enough_work"},
      {R"({"avg_loop_iterations": 10001})", 2, "hot_loop"},
      {R"({"avg_loop_iterations": 10001, "avg_data_size": 100001})", 3, "large_data_loop"},
      {R"({"avg_loop_iterations": 10001, "avg_data_size": 10000001})", 3, "large_data_loop"},
      {R"({"avg_loop_iterations": 10001, "avg_data_size": 10000001, "gpu_acceleration": true})", 4, "large_array_gpu"},
      {R"({"avg_data_size": 100001, "io_wait_ratio": null})", 3, "large_data"},
      {R"({})", 0, "not_measured"},
      {R"({"total_calls": 7, "anything": {"else": []}})", 0, "not_measured"},
  };
  for (auto& row : rows) {
    auto body = env.classify(row.body).as_object();
    EXPECT_EQ(body["level"], json::value(row.level)) << row.body;
    EXPECT_EQ(body["reason"], json::value(row.reason)) << row.body;
    EXPECT_TRUE(body["explanation"].is_string());
    EXPECT_EQ(body["thresholds"].as_object()["avg_loop_iterations"].to_number<double>(), 10000);
  }
}

TEST(Api, ClassifiesForTheGpusThatAreThereUnlessTold) {
  Env env;
  env.join(WorkerBuilder().offers(Level::GPU, 1));
  EXPECT_EQ(env.classify(R"({"avg_loop_iterations": 2e4, "avg_data_size": 2e7})").as_object()["level"], json::value(4));
  EXPECT_EQ(
      env.classify(R"({"avg_loop_iterations": 2e4, "avg_data_size": 2e7, "gpu_acceleration": false})").as_object()["level"],
      json::value(3));
}

TEST(Api, RefusesWhatIsNoWorkload) {
  Env env;
  expectProblem(env.ask("POST", "/api/v1/classify", "{"), 400);
  expectProblem(env.ask("POST", "/api/v1/classify", ""), 400);
  expectProblem(env.ask("POST", "/api/v1/classify", std::string(100, '[')), 400);
  for (const char* body :
       {"[]", "7", R"({"io_wait_ratio": 1.1})", R"({"io_wait_ratio": -0.1})", R"({"io_wait_ratio": "much"})",
        R"({"avg_data_size": true})", R"({"avg_loop_iterations": 1e999})", R"({"gpu_acceleration": 1})"}) {
    auto status = env.ask("POST", "/api/v1/classify", body).status;
    EXPECT_TRUE(status == 422 || status == 400) << body << " " << status;
  }
}

}  // namespace
}  // namespace epochly::rest
