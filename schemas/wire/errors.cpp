#include "wire/errors.h"

#include <cstring>
#include <string_view>

namespace epochly {

namespace {

using Type = kj::Exception::Type;

constexpr ErrorRow TABLE[ERROR_CODE_COUNT] = {
    {ErrorCode::NONE, "none", Type::FAILED, 200, "", "No error"},
    {ErrorCode::USER_EXCEPTION, "user_exception", Type::FAILED, 200, "RemoteError", "The function raised an exception"},
    {ErrorCode::OVERLOADED, "overloaded", Type::OVERLOADED, 429, "Overloaded", "A queue is full"},
    {ErrorCode::UNAUTHENTICATED, "unauthenticated", Type::FAILED, 401, "AuthenticationError", "A valid token is required"},
    {ErrorCode::PROTOCOL_MISMATCH, "protocol_mismatch", Type::FAILED, 426, "ProtocolMismatch", "No common protocol version"},
    {ErrorCode::INVALID_ARGUMENT, "invalid_argument", Type::FAILED, 422, "InvalidTask", "A value is out of range"},
    {ErrorCode::NOT_FOUND, "not_found", Type::FAILED, 404, "NotFound", "No such thing"},
    {ErrorCode::PAYLOAD_TOO_LARGE, "payload_too_large", Type::FAILED, 413, "PayloadTooLarge",
     "The payload is over the limit"},
    {ErrorCode::FUNCTION_UNAVAILABLE, "function_unavailable", Type::FAILED, 422, "FunctionUnavailable",
     "The function cannot be loaded on the worker"},
    {ErrorCode::ARGUMENTS_UNPICKLABLE, "arguments_unpicklable", Type::FAILED, 422, "ArgumentsNotPicklable",
     "The arguments cannot be loaded on the worker"},
    {ErrorCode::RESULT_UNPICKLABLE, "result_unpicklable", Type::FAILED, 422, "ResultNotPicklable",
     "The result cannot be sent back"},
    {ErrorCode::EXECUTOR_DIED, "executor_died", Type::FAILED, 500, "ExecutorDied", "The executor process died"},
    {ErrorCode::TIMEOUT, "timeout", Type::FAILED, 504, "TaskTimeout", "The time limit passed"},
    {ErrorCode::WORKER_LOST, "worker_lost", Type::FAILED, 500, "WorkerLost", "Too many workers were lost under the task"},
    {ErrorCode::NO_FITTING_WORKER, "no_fitting_worker", Type::FAILED, 503, "NoFittingWorker", "No worker fits the task"},
    {ErrorCode::CANCELLED, "cancelled", Type::FAILED, 409, "TaskCancelled", "The task was cancelled"},
    {ErrorCode::DISCONNECTED, "disconnected", Type::DISCONNECTED, 503, "ConnectionLost", "The connection was lost"},
    {ErrorCode::SHUTTING_DOWN, "shutting_down", Type::DISCONNECTED, 503, "ShuttingDown", "The service is shutting down"},
    {ErrorCode::MALFORMED_REQUEST, "malformed_request", Type::FAILED, 400, "MalformedRequest", "The request cannot be read"},
    {ErrorCode::METHOD_NOT_ALLOWED, "method_not_allowed", Type::UNIMPLEMENTED, 405, "MethodNotAllowed",
     "The method is not offered here"},
    {ErrorCode::FORBIDDEN_HOST, "forbidden_host", Type::FAILED, 403, "ForbiddenHost",
     "The request came by a name that is not allowed"},
    {ErrorCode::INTERNAL, "internal", Type::FAILED, 500, "InternalError", "A fault of the service"},
};

constexpr bool tableIsInOrder() {
  for (uint i = 0; i < ERROR_CODE_COUNT; i++) {
    if (static_cast<uint>(TABLE[i].code) != i) return false;
  }
  return true;
}
static_assert(tableIsInOrder(), "TABLE is indexed by code");

// Where "[name] " stands in the description, and its row.
const ErrorRow* findCode(std::string_view text, size_t& begin, size_t& end) {
  for (size_t open = text.find('['); open != text.npos; open = text.find('[', open + 1)) {
    size_t close = text.find("] ", open);
    if (close == text.npos) return nullptr;
    std::string_view name = text.substr(open + 1, close - open - 1);
    for (auto& row : TABLE) {
      if (name == row.name) {
        begin = open;
        end = close + 2;
        return &row;
      }
    }
  }
  return nullptr;
}

}  // namespace

const ErrorRow& errorRow(ErrorCode code) {
  auto index = static_cast<uint>(code);
  return TABLE[index < ERROR_CODE_COUNT ? index : static_cast<uint>(ErrorCode::INTERNAL)];
}

const ErrorRow& errorRowAt(uint index) { return TABLE[index]; }

kj::Exception makeError(ErrorCode code, kj::StringPtr message) {
  auto& row = errorRow(code);
  return kj::Exception(row.type, __FILE__, __LINE__, kj::str("[", row.name, "] ", message));
}

ErrorCode codeOf(const kj::Exception& exception) {
  size_t begin, end;
  auto text = exception.getDescription();
  if (auto row = findCode(std::string_view(text.begin(), text.size()), begin, end)) return row->code;
  switch (exception.getType()) {
    case Type::OVERLOADED: return ErrorCode::OVERLOADED;
    case Type::DISCONNECTED: return ErrorCode::DISCONNECTED;
    default: return ErrorCode::INTERNAL;
  }
}

kj::String messageOf(const kj::Exception& exception) {
  size_t begin = 0, end = 0;
  auto text = exception.getDescription();
  findCode(std::string_view(text.begin(), text.size()), begin, end);
  return kj::str(text.slice(end));
}

Failure Failure::of(ErrorCode code, kj::String message) {
  Failure failure;
  failure.code = code;
  failure.message = kj::mv(message);
  return failure;
}

Failure Failure::read(schema::Failure::Reader reader) {
  Failure failure;
  failure.code = errorRow(static_cast<ErrorCode>(reader.getCode())).code;
  failure.message = kj::str(reader.getMessage());
  failure.type = kj::str(reader.getType());
  failure.traceback = kj::str(reader.getTraceback());
  failure.pickled = kj::heapArray<byte>(reader.getPickled());
  return failure;
}

void Failure::write(schema::Failure::Builder builder) const {
  builder.setCode(static_cast<uint16_t>(code));
  builder.setMessage(message);
  if (type.size() > 0) builder.setType(type);
  if (traceback.size() > 0) builder.setTraceback(traceback);
  if (pickled.size() > 0) builder.setPickled(pickled);
}

Failure Failure::clone() const {
  Failure copy;
  copy.code = code;
  copy.message = kj::str(message);
  copy.type = kj::str(type);
  copy.traceback = kj::str(traceback);
  copy.pickled = kj::heapArray<byte>(pickled.asPtr());
  return copy;
}

}  // namespace epochly
