#include "rest/lists.h"

#include <algorithm>
#include <charconv>

#include "rest/api.h"
#include "rest/rows.h"

namespace epochly::rest {

namespace {

template <typename T>
std::optional<T> parse(const std::string& text) {
  T value = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint> limitOf(const Target& target) {
  auto given = target.query.find("limit");
  if (given == target.query.end()) return PAGE_LIMIT_DEFAULT;
  auto limit = parse<uint>(given->second);
  if (!limit || *limit == 0 || *limit > PAGE_LIMIT_MAX) return std::nullopt;
  return limit;
}

Reply badLimit() {
  return problem(ErrorCode::INVALID_ARGUMENT, "limit is a whole number from 1 to " + std::to_string(PAGE_LIMIT_MAX));
}
Reply badCursor() { return problem(ErrorCode::INVALID_ARGUMENT, "cursor is the next_cursor of an earlier page"); }

// Takes one row more than the page has, so that the last page knows that it is the last.
template <typename Row, typename CursorOf>
Render renderPage(std::vector<Row> rows, uint limit, CursorOf cursorOf) {
  return [rows = std::move(rows), limit, cursorOf]() {
    json::array items;
    for (size_t i = 0; i < std::min<size_t>(rows.size(), limit); i++) items.push_back(rows[i].toJson());
    json::value next = rows.size() > limit ? json::value(cursorOf(rows[limit - 1])) : json::value(nullptr);
    Reply reply;
    reply.body = json::serialize(json::object{{"items", items}, {"next_cursor", next}}) + "\n";
    return reply;
  };
}

Question workersAfter(uint64_t cursor, uint limit) {
  return [=](const Moment& moment) -> Render {
    std::vector<WorkerRow> rows;
    auto& workers = moment.core.workers;
    for (auto it = workers.upper_bound(WorkerId(cursor)); it != workers.end() && rows.size() <= limit; ++it) {
      rows.push_back(WorkerRow::read(it->second, moment));
    }
    return renderPage(std::move(rows), limit, [](const WorkerRow& row) { return std::to_string(row.id.value); });
  };
}

Question functionsAfter(std::optional<FunctionHash> cursor, uint limit) {
  return [=](const Moment& moment) -> Render {
    std::vector<const core::Function*> later;
    for (auto& [hash, function] : moment.core.functions) {
      if (!cursor || *cursor < hash) later.push_back(&function);
    }
    auto wanted = std::min<size_t>(later.size(), limit + 1);
    std::partial_sort(later.begin(), later.begin() + wanted, later.end(), [](auto a, auto b) { return a->hash < b->hash; });
    std::vector<FunctionRow> rows;
    bool gpuOffered = moment.core.offered(Level::GPU);
    for (size_t i = 0; i < wanted; i++) rows.push_back(FunctionRow::read(*later[i], gpuOffered, moment));
    return renderPage(std::move(rows), limit, [](const FunctionRow& row) { return std::string(toString(row.hash).cStr()); });
  };
}

Render renderObject(json::object object) {
  return [object = std::move(object)]() {
    Reply reply;
    reply.body = json::serialize(object) + "\n";
    return reply;
  };
}

}  // namespace

Outcome listWorkers(const Target& target) {
  auto limit = limitOf(target);
  if (!limit) return badLimit();
  auto cursor = target.query.find("cursor");
  if (cursor == target.query.end()) return workersAfter(0, *limit);
  auto id = parse<uint64_t>(cursor->second);
  if (!id) return badCursor();
  return workersAfter(*id, *limit);
}

Outcome listFunctions(const Target& target) {
  auto limit = limitOf(target);
  if (!limit) return badLimit();
  auto cursor = target.query.find("cursor");
  if (cursor == target.query.end()) return functionsAfter(std::nullopt, *limit);
  KJ_IF_MAYBE(hash, parseFunctionHash(cursor->second.c_str())) {
    return functionsAfter(*hash, *limit);
  }
  return badCursor();
}

Outcome showTask(const std::string& text) {
  KJ_IF_MAYBE(id, parseTaskId(text.c_str())) {
    return Question([id = *id](const Moment& moment) -> Render {
      auto live = moment.core.tasks.find(id);
      if (live != moment.core.tasks.end()) {
        return [row = TaskRow::read(live->second, moment)]() { return renderObject(row.toJson())(); };
      }
      auto ended = moment.core.endedById.find(id);
      if (ended != moment.core.endedById.end()) {
        return [epitaph = *ended->second]() { return renderObject(toJson(epitaph))(); };
      }
      return [remembered = moment.core.limits.endedMax]() {
        return problem(ErrorCode::NOT_FOUND, "no such task: it was never accepted, or it ended and " +
                                                 std::to_string(remembered) + " others have ended since");
      };
    });
  }
  return problem(ErrorCode::NOT_FOUND, "a task's id is 16 hex digits, a dash and a number");
}

}  // namespace epochly::rest
