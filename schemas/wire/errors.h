// The one table of what can go wrong between processes: code, kj exception type, HTTP status, Python class.
#pragma once

#include <kj/exception.h>

#include "common.capnp.h"
#include "wire/ids.h"

namespace epochly {

// Numbers are on the wire (Failure.code): append, never renumber.
enum class ErrorCode : uint16_t {
  NONE = 0,
  USER_EXCEPTION = 1,  // the user's function raised
  OVERLOADED = 2,      // a bound was reached; nothing was lost; try again later
  UNAUTHENTICATED = 3,
  PROTOCOL_MISMATCH = 4,
  INVALID_ARGUMENT = 5,
  NOT_FOUND = 6,
  PAYLOAD_TOO_LARGE = 7,
  FUNCTION_UNAVAILABLE = 8,   // it does not unpickle on the worker, or its module is not there
  ARGUMENTS_UNPICKLABLE = 9,  // they do not unpickle on the worker
  RESULT_UNPICKLABLE = 10,    // it does not pickle on the worker
  EXECUTOR_DIED = 11,         // crash, os._exit, kill, out of memory in user code
  TIMEOUT = 12,
  WORKER_LOST = 13,
  NO_FITTING_WORKER = 14,
  CANCELLED = 15,
  DISCONNECTED = 16,
  SHUTTING_DOWN = 17,
  MALFORMED_REQUEST = 18,
  METHOD_NOT_ALLOWED = 19,
  FORBIDDEN_HOST = 20,  // Host or Origin header names someone else
  INTERNAL = 21,
};
constexpr uint ERROR_CODE_COUNT = 22;

struct ErrorRow {
  ErrorCode code;
  const char* name;  // "overloaded": in exceptions, JSON and metrics labels
  kj::Exception::Type type;
  uint httpStatus;
  const char* pythonClass;  // in module epochly.errors
  const char* title;        // RFC 9457 title
};

// Defined for every code; a code that is not in the table reads as INTERNAL.
const ErrorRow& errorRow(ErrorCode code);
const ErrorRow& errorRowAt(uint index);  // for tests and generators; index < ERROR_CODE_COUNT

// kj::Exception whose description is "[name] message"; codeOf() reads it back on the other side of an RPC, where Cap'n
// Proto has put words of its own in front.
kj::Exception makeError(ErrorCode code, kj::StringPtr message);
ErrorCode codeOf(const kj::Exception& exception);      // INTERNAL, OVERLOADED or DISCONNECTED when it carries no code
kj::String messageOf(const kj::Exception& exception);  // without the code and RPC's words

// A failure that the core produced itself (no user code involved).
struct Failure {
  ErrorCode code = ErrorCode::NONE;
  kj::String message;
  kj::String type;
  kj::String traceback;
  kj::Array<byte> pickled;

  static Failure of(ErrorCode code, kj::String message);
  static Failure read(schema::Failure::Reader reader);
  void write(schema::Failure::Builder builder) const;
  Failure clone() const;
  size_t bytes() const { return message.size() + type.size() + traceback.size() + pickled.size(); }
};

}  // namespace epochly
