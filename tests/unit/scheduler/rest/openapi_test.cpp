// openapi.json is held to the routes and to what they really answer.
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <kj/debug.h>
#include <boost/json.hpp>

#include "rest/api.h"
#include "support/sched_env.h"

namespace epochly::rest {
namespace {

namespace json = boost::json;
using test::TaskBuilder;
using test::WorkerBuilder;

const json::value& document() {
  static const json::value parsed = json::parse(json::string_view(openApi().data(), openApi().size()));
  return parsed;
}

// The JSON Schema that the document uses: $ref, type, properties, required, additionalProperties, items, oneOf, enum.
class Schema {
 public:
  explicit Schema(const json::value& schema) : schema(resolve(schema).as_object()) {}

  // What is wrong with `value`, empty if nothing.
  std::string check(const json::value& value, const std::string& at = "$") const {
    if (auto choices = schema.if_contains("oneOf")) return checkOneOf(choices->as_array(), value, at);
    if (auto type = schema.if_contains("type"); type != nullptr && !hasType(*type, value)) return at + " has the wrong type";
    if (auto words = schema.if_contains("enum"); words != nullptr && !contains(words->as_array(), value)) {
      return at + " is none of the enum: " + json::serialize(value);
    }
    if (value.is_object()) return checkObject(value.as_object(), at);
    if (value.is_array() && schema.contains("items")) {
      for (auto& item : value.as_array()) {
        if (auto wrong = Schema(schema.at("items")).check(item, at + "[]"); !wrong.empty()) return wrong;
      }
    }
    return "";
  }

 private:
  const json::object& schema;

  static const json::value& resolve(const json::value& schema) {
    auto reference = schema.as_object().if_contains("$ref");
    if (reference == nullptr) return schema;
    std::string name(reference->as_string());
    return document().at("components").at("schemas").at(name.substr(name.rfind('/') + 1));
  }
  static bool contains(const json::array& words, const json::value& value) {
    return std::find(words.begin(), words.end(), value) != words.end();
  }
  static bool isOf(const json::string& type, const json::value& value) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_bool();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_int64() || value.is_uint64();
    return type == "number" && value.is_number();
  }
  static bool hasType(const json::value& type, const json::value& value) {
    if (type.is_string()) return isOf(type.as_string(), value);
    for (auto& one : type.as_array()) {
      if (isOf(one.as_string(), value)) return true;
    }
    return false;
  }
  static std::string checkOneOf(const json::array& choices, const json::value& value, const std::string& at) {
    int fitting = 0;
    std::string wrong;
    for (auto& choice : choices) {
      auto here = Schema(choice).check(value, at);
      fitting += here.empty();
      wrong += here + "; ";
    }
    return fitting == 1 ? "" : at + " fits " + std::to_string(fitting) + " of oneOf: " + wrong;
  }
  std::string checkObject(const json::object& object, const std::string& at) const {
    if (auto required = schema.if_contains("required")) {
      for (auto& name : required->as_array()) {
        if (!object.contains(name.as_string())) return at + " lacks " + std::string(name.as_string());
      }
    }
    auto properties = schema.if_contains("properties");
    for (auto& [name, value] : object) {
      auto property = properties == nullptr ? nullptr : properties->as_object().if_contains(name);
      if (property == nullptr) {
        if (schema.contains("additionalProperties")) return at + " has " + std::string(name) + ", which is not described";
        continue;
      }
      if (auto wrong = Schema(*property).check(value, at + "." + std::string(name)); !wrong.empty()) return wrong;
    }
    return "";
  }
};

std::set<std::string> described() {
  std::set<std::string> result;
  for (auto& [path, methods] : document().at("paths").as_object()) {
    for (auto& [method, operation] : methods.as_object()) {
      std::string upper(method);
      std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
      result.insert(upper + " " + std::string(path));
    }
  }
  return result;
}

TEST(OpenApi, DescribesTheRoutesAndNoOthers) {
  auto routes = Api::routes();
  EXPECT_EQ(described(), std::set<std::string>(routes.begin(), routes.end()));
}

TEST(OpenApi, ResolvesItsReferences) {
  std::string text(openApi());
  for (size_t at = text.find("#/components/schemas/"); at != text.npos; at = text.find("#/components/schemas/", at + 1)) {
    auto name = text.substr(at + 21, text.find('"', at) - at - 21);
    EXPECT_TRUE(document().at("components").at("schemas").as_object().contains(name)) << name;
  }
}

// Every operation with every answer it can give, asked of a core in which everything has happened.
class Answers : public testing::Test {
 protected:
  test::SchedEnv env;
  Api api{Access(loopback(), {}, nullptr),
          FigureSource{[] { return levels(); }, [] { return [] { return std::string("x 1\n"); }; }}};

  static rt::Address loopback() { return KJ_ASSERT_NONNULL(rt::parseHostPort("127.0.0.1:80")); }
  static std::vector<LevelFigures> levels() {
    LevelFigures level;
    for (const char* name : {"queue", "transfer", "compile", "run", "end_to_end"})
      level.times.push_back(Times{.name = name});
    return {level};
  }

  void expectAsDescribed(const std::string& method, const std::string& path, const std::string& target,
                         const std::string& body, unsigned status) {
    Request request{method, target, "application/json", body, Caller{.host = "localhost"}};
    Reply reply;
    if (auto refused = api.refuse(request)) {
      reply = *refused;
    } else {
      auto outcome = api.answer(request);
      auto question = std::get_if<Question>(&outcome);
      reply = question ? (*question)(Moment{env.core, env.thresholds, env.now, 1e9})() : std::get<Reply>(outcome);
    }
    EXPECT_EQ(reply.status, status) << target << reply.body;
    std::string lower(method);
    std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
    auto& responses = document().at("paths").at(path).at(lower).at("responses").as_object();
    ASSERT_TRUE(responses.contains(std::to_string(reply.status))) << target << " answers " << reply.status;
    auto& content = responses.at(std::to_string(reply.status)).at("content").as_object();
    auto type = reply.contentType.substr(0, reply.contentType.find(';'));
    ASSERT_TRUE(content.contains(type)) << target << " answers " << type;
    if (type == "text/plain") return;
    EXPECT_EQ(Schema(content.at(type).at("schema")).check(json::parse(reply.body)), "") << target << "\n" << reply.body;
  }
  void expectGet(const std::string& path, unsigned status = 200) { expectAsDescribed("GET", path, path, "", status); }
};

TEST_F(Answers, AreAsDescribed) {
  auto ended = env.submit(TaskBuilder().retries(1));
  auto worker = env.join(WorkerBuilder().cpus(1).offers(Level::THREADS, 2));
  events::AttemptReport report{.task = ended, .attempt = Attempt(1)};
  report.timings.run = 5;
  env.events.onResults(worker, kj::arrayPtr(&report, 1), env.now);
  auto running = env.submit();
  auto queued = env.submit(TaskBuilder().onHost(99));
  for (const char* path : {"/livez", "/readyz", "/metrics", "/api/v1/metrics", "/api/v1/functions", "/api/v1/workers",
                           "/api/v1/openapi.json"}) {
    expectGet(path);
  }
  for (auto id : {ended, running, queued}) {
    expectAsDescribed("GET", "/api/v1/tasks/{id}", std::string("/api/v1/tasks/") + toString(id).cStr(), "", 200);
  }
  expectAsDescribed("GET", "/api/v1/tasks/{id}", "/api/v1/tasks/0000000000000001-1", "", 404);
  expectAsDescribed("GET", "/api/v1/workers", "/api/v1/workers?limit=0", "", 422);
  expectAsDescribed("GET", "/api/v1/functions", "/api/v1/functions?cursor=x", "", 422);
  expectAsDescribed("POST", "/api/v1/classify", "/api/v1/classify", "{\"io_wait_ratio\": 0.9}", 200);
  expectAsDescribed("POST", "/api/v1/classify", "/api/v1/classify", "{", 400);
  expectAsDescribed("POST", "/api/v1/classify", "/api/v1/classify", "{\"io_wait_ratio\": 9}", 422);
  env.events.onDrain(env.now);
  expectGet("/readyz", 503);
}

TEST_F(Answers, TheCheckerFindsWhatIsWrong) {  // or the test above would prove nothing
  auto& schema = document().at("components").at("schemas").at("Classification");
  json::object good{{"level", 1},
                    {"name", "threads"},
                    {"reason", "io_bound"},
                    {"explanation", ""},
                    {"gpu_acceleration", false},
                    {"thresholds", json::object{{"io_wait_ratio", 0.5},
                                                {"avg_loop_iterations", 1.0},
                                                {"avg_data_size_parallel", 1.0},
                                                {"avg_data_size_gpu", 1.0}}}};
  EXPECT_EQ(Schema(schema).check(good), "");
  auto without = good, wrongType = good, wrongWord = good, tooMuch = good, deep = good;
  without.erase("reason");
  wrongType["level"] = "1";
  wrongWord["name"] = "thread";
  tooMuch["more"] = 1;
  deep["thresholds"].as_object()["io_wait_ratio"] = nullptr;
  for (auto& bad : {without, wrongType, wrongWord, tooMuch, deep})
    EXPECT_NE(Schema(schema).check(bad), "") << json::serialize(bad);
}

}  // namespace
}  // namespace epochly::rest
