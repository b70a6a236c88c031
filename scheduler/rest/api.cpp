#include "rest/api.h"

#include <algorithm>

#include "rest/classify_request.h"
#include "rest/lists.h"
#include "rest/rows.h"
#include "rest/target.h"

namespace epochly::rest {

namespace {

enum class Resource : uint8_t { LIVE, READY, PAGE, METRICS, FUNCTIONS, WORKERS, TASK, CLASSIFY, OPEN_API };

struct Route {
  Resource resource;
  std::string_view method;
  std::string_view path;  // "{id}" stands for one segment, at the end
  bool isOpen;            // answered without a token: probes have none
};

// HEAD goes wherever GET does.
constexpr Route ROUTES[] = {
    {Resource::LIVE, "GET", "/livez", true},
    {Resource::READY, "GET", "/readyz", true},
    {Resource::PAGE, "GET", "/metrics", false},
    {Resource::METRICS, "GET", "/api/v1/metrics", false},
    {Resource::FUNCTIONS, "GET", "/api/v1/functions", false},
    {Resource::WORKERS, "GET", "/api/v1/workers", false},
    {Resource::TASK, "GET", "/api/v1/tasks/{id}", false},
    {Resource::CLASSIFY, "POST", "/api/v1/classify", false},
    {Resource::OPEN_API, "GET", "/api/v1/openapi.json", false},
};

const Route* findRoute(std::string_view path) {
  for (auto& route : ROUTES) {
    auto brace = route.path.find('{');
    if (brace == route.path.npos
            ? path == route.path
            : path.starts_with(route.path.substr(0, brace)) && path.size() > brace && path.find('/', brace) == path.npos) {
      return &route;
    }
  }
  return nullptr;
}

bool isAllowed(const Route& route, std::string_view method) {
  return method == route.method || (method == "HEAD" && route.method == "GET");
}

Reply wrongMethod(const Route& route, std::string_view method) {
  std::string allowed = route.method == "GET" ? "GET, HEAD" : std::string(route.method);
  auto reply = problem(ErrorCode::METHOD_NOT_ALLOWED, std::string(method) + " is not offered here, only " + allowed);
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

bool isJson(std::string_view contentType) {
  auto type = contentType.substr(0, contentType.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  constexpr std::string_view JSON = "application/json";
  return std::equal(type.begin(), type.end(), JSON.begin(), JSON.end(),
                    [](unsigned char a, char b) { return std::tolower(a) == b; });
}

Reply jsonReply(json::value body) {
  Reply reply;
  reply.body = json::serialize(body) + "\n";
  return reply;
}

Render ready(const Moment& moment) {
  return [draining = moment.core.draining, workers = moment.core.workers.size()]() {
    if (draining) return problem(ErrorCode::SHUTTING_DOWN, "the scheduler takes nothing new and finishes what it has");
    return jsonReply(json::object{{"status", "ready"}, {"workers", workers}});
  };
}

json::object toJson(const Times& times) {
  return {{"count", times.count},
          {"mean_seconds", number(times.mean)},
          {"p50_seconds", number(times.p50)},
          {"p90_seconds", number(times.p90)},
          {"p99_seconds", number(times.p99)}};
}

json::object toJson(const LevelFigures& figures) {
  auto object = levelObject(figures.level);
  object["submitted"] = figures.submitted;
  object["succeeded"] = figures.succeeded;
  object["failed"] = figures.failed;
  object["cancelled"] = figures.cancelled;
  object["declined"] = figures.declined;
  object["cpu_seconds"] = number(figures.cpuSeconds);
  json::object times;
  for (auto& kind : figures.times) times[kind.name] = toJson(kind);
  object["times"] = std::move(times);
  return object;
}

// What of the core /api/v1/metrics tells beside the levels.
struct Tables {
  core::Totals totals;
  uint64_t queued, running, workers, clients, functions;
  double unixSeconds;
};

json::object toJson(const Tables& tables) {
  return {{"time", time(tables.unixSeconds)},
          {"totals", json::object{{"submitted", tables.totals.submitted},
                                  {"queued", tables.queued},
                                  {"running", tables.running},
                                  {"succeeded", tables.totals.succeeded},
                                  {"failed", tables.totals.failed},
                                  {"cancelled", tables.totals.cancelled},
                                  {"retried", tables.totals.retried},
                                  {"stale_results", tables.totals.staleResults},
                                  {"duplicates", tables.totals.duplicates}}},
          {"workers", tables.workers},
          {"clients", tables.clients},
          {"functions", tables.functions}};
}

}  // namespace

std::optional<Reply> Api::refuse(const Request& request) const {
  if (auto refused = access.refuseName(request.caller)) return refused;
  auto target = parseTarget(request.target);
  if (!target) return problem(ErrorCode::MALFORMED_REQUEST, "the target is a path, percent-encoded, with an optional query");
  auto route = findRoute(target->path);
  // Which paths there are is no secret, but to someone without a token they all look alike.
  if (route == nullptr || !route->isOpen) {
    if (auto refused = access.refuseToken(request.caller)) return refused;
  }
  if (route == nullptr) return problem(ErrorCode::NOT_FOUND, "there is nothing at this path; see /api/v1/openapi.json");
  if (!isAllowed(*route, request.method)) return wrongMethod(*route, request.method);
  if (route->method == "POST" && !isJson(request.contentType)) {
    return httpProblem(415, "Unsupported Media Type", "send the body as Content-Type: application/json");
  }
  return std::nullopt;
}

Outcome Api::answer(const Request& request) const {
  auto target = parseTarget(request.target);
  auto route = target ? findRoute(target->path) : nullptr;
  if (route == nullptr) return problem(ErrorCode::INTERNAL, "answer() without refuse()");
  switch (route->resource) {
    case Resource::LIVE: return jsonReply(json::object{{"status", "alive"}});
    case Resource::READY: return Question(ready);
    case Resource::PAGE: return metricsPage();
    case Resource::METRICS: return metrics();
    case Resource::FUNCTIONS: return listFunctions(*target);
    case Resource::WORKERS: return listWorkers(*target);
    case Resource::TASK: return showTask(target->path.substr(route->path.find('{')));
    case Resource::CLASSIFY: return classifyWorkload(request.body);
    case Resource::OPEN_API: {
      Reply reply;
      reply.body = openApi();
      return reply;
    }
  }
  return problem(ErrorCode::INTERNAL, "a route without an answer");
}

Question Api::metrics() const {
  return [levels = figures.levels](const Moment& moment) -> Render {
    auto& core = moment.core;
    Tables tables{core.totals,         core.queuedCount(),    core.runningCount(), core.workers.size(),
                  core.clients.size(), core.functions.size(), moment.unixSeconds};
    return [tables, told = levels()]() {
      auto body = toJson(tables);
      json::array array;
      for (auto& level : told) array.push_back(toJson(level));
      body["levels"] = std::move(array);
      return jsonReply(body);
    };
  };
}

Question Api::metricsPage() const {
  return [page = figures.page](const Moment&) -> Render {
    return [render = page()]() {
      Reply reply;
      reply.contentType = "text/plain; version=0.0.4; charset=utf-8";
      reply.body = render();
      return reply;
    };
  };
}

std::vector<std::string> Api::routes() {
  std::vector<std::string> result;
  for (auto& route : ROUTES) result.push_back(std::string(route.method) + " " + std::string(route.path));
  return result;
}

}  // namespace epochly::rest
