#include "rest/classify_request.h"

#include <optional>

#include "rest/rows.h"

namespace epochly::rest {

namespace {

// Nesting of the body. Ours is flat; what else a caller's metrics hold is ignored.
constexpr size_t JSON_DEPTH_MAX = 8;

struct Input {
  core::Workload workload;
  std::optional<bool> gpuOffered;  // none: whether a worker offers one
};

// Missing and null are "not measured". False: it is something else than a number from 0 to `max`.
bool readFigure(const json::object& object, const char* name, double max, double& figure) {
  auto found = object.if_contains(name);
  if (found == nullptr || found->is_null()) return true;
  if (!found->is_number()) return false;
  figure = found->to_number<double>();
  return figure >= 0 && figure <= max;
}

std::variant<Input, Reply> readInput(std::string_view body) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = JSON_DEPTH_MAX;
  auto parsed = json::parse(body, error, {}, options);
  if (error) return problem(ErrorCode::MALFORMED_REQUEST, "the body is not JSON: " + error.message());
  auto object = parsed.if_object();
  if (object == nullptr)
    return problem(ErrorCode::INVALID_ARGUMENT, "the body is an object, such as {\"io_wait_ratio\": 0.9}");
  Input input;
  if (!readFigure(*object, "io_wait_ratio", 1, input.workload.ioWaitRatio)) {
    return problem(ErrorCode::INVALID_ARGUMENT, "io_wait_ratio is a number from 0 to 1, or null");
  }
  if (!readFigure(*object, "avg_loop_iterations", 1e300, input.workload.avgLoopIterations)) {
    return problem(ErrorCode::INVALID_ARGUMENT, "avg_loop_iterations is a number from 0, or null");
  }
  if (!readFigure(*object, "avg_data_size", 1e300, input.workload.avgDataSize)) {
    return problem(ErrorCode::INVALID_ARGUMENT, "avg_data_size is a number of elements from 0, or null");
  }
  if (auto gpu = object->if_contains("gpu_acceleration"); gpu != nullptr && !gpu->is_null()) {
    if (!gpu->is_bool()) return problem(ErrorCode::INVALID_ARGUMENT, "gpu_acceleration is true, false or null");
    input.gpuOffered = gpu->get_bool();
  }
  return input;
}

Reply render(const Input& input, bool gpuOffered, const classify::Thresholds& thresholds) {
  auto choice = classify::classify(input.workload, core::Hints(), gpuOffered, thresholds);
  auto body = levelObject(choice.level);
  body["reason"] = classify::reasonName(choice.reason).cStr();
  body["explanation"] = classify::describe(choice, input.workload, thresholds).cStr();
  body["gpu_acceleration"] = gpuOffered;
  body["thresholds"] = toJson(thresholds);
  Reply reply;
  reply.body = json::serialize(body) + "\n";
  return reply;
}

}  // namespace

Outcome classifyWorkload(std::string_view body) {
  auto read = readInput(body);
  if (auto wrong = std::get_if<Reply>(&read)) return std::move(*wrong);
  return Question([input = std::get<Input>(read)](const Moment& moment) -> Render {
    bool gpuOffered = input.gpuOffered.value_or(moment.core.offered(Level::GPU));
    return [input, gpuOffered, thresholds = moment.thresholds]() { return render(input, gpuOffered, thresholds); };
  });
}

}  // namespace epochly::rest
