#include "rest/connection.h"

#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/version.hpp>

namespace epochly::rest {

namespace beast = boost::beast;
namespace http = beast::http;

namespace {

// First read of a request; most fit whole.
constexpr size_t READ_BYTES = 4096;

std::string httpDate() {
  auto now = std::time(nullptr);
  tm parts;
  gmtime_r(&now, &parts);
  char text[64];
  return std::string(text, strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

std::optional<std::string_view> field(const http::fields& fields, http::field name) {
  auto found = fields.find(name);
  if (found == fields.end()) return std::nullopt;
  return std::string_view(found->value().data(), found->value().size());
}

bool hasBody(const http::request<http::string_body>& message) {
  return message.has_content_length() ? message[http::field::content_length] != "0" : message.chunked();
}

Reply brokenReply(beast::error_code error, const HttpBounds& bounds) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return httpProblem(431, "Request Header Fields Too Large",
                       "the header is over " + std::to_string(bounds.headerBytesMax) + " bytes");
  }
  if (error == http::error::body_limit) {
    return problem(ErrorCode::PAYLOAD_TOO_LARGE, "the body is over " + std::to_string(bounds.bodyBytesMax) + " bytes");
  }
  return problem(ErrorCode::MALFORMED_REQUEST, "the request is not HTTP/1.1: " + error.message());
}

}  // namespace

Connection::Connection(boost::asio::ip::tcp::socket socket, const Api& api, CoreDoor& door, const HttpBounds& bounds,
                       std::shared_ptr<size_t> open)
    : stream(std::move(socket)),
      api(api),
      door(door),
      bounds(bounds),
      open(std::move(open)),
      buffer(bounds.headerBytesMax + READ_BYTES) {
  ++*this->open;
}

Connection::~Connection() { --*open; }

// ---- reading -------------------------------------------------------------------------------------------------------

void Connection::awaitRequest() {
  parser.emplace();
  parser->header_limit(bounds.headerBytesMax);
  parser->body_limit(bounds.bodyBytesMax);
  if (buffer.size() > 0) return readHeader();  // the next request came along with the last
  stream.expires_after(bounds.idle);
  stream.async_read_some(buffer.prepare(READ_BYTES), [self = shared_from_this()](beast::error_code error, size_t size) {
    if (error) return;  // idle for too long, or the caller is done
    self->buffer.commit(size);
    self->readHeader();
  });
}

void Connection::readHeader() {
  stream.expires_after(bounds.request);  // a moment in time: bytes that trickle in do not move it
  http::async_read_header(stream, buffer, *parser, [self = shared_from_this()](beast::error_code error, size_t) {
    error ? self->onBroken(error) : self->onHeader();
  });
}

void Connection::onHeader() {
  if (auto refused = api.refuse(request(false))) return respond(std::move(*refused), !hasBody(parser->get()));
  if (!beast::iequals(parser->get()[http::field::expect], "100-continue")) return readBody();
  static constexpr std::string_view CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
  boost::asio::async_write(stream, boost::asio::buffer(CONTINUE),
                           [self = shared_from_this()](beast::error_code error, size_t) {
                             if (!error) self->readBody();
                           });
}

void Connection::readBody() {
  http::async_read(stream, buffer, *parser, [self = shared_from_this()](beast::error_code error, size_t) {
    error ? self->onBroken(error) : self->onRequest();
  });
}

void Connection::onRequest() {
  auto outcome = api.answer(request(true));
  if (auto reply = std::get_if<Reply>(&outcome)) return respond(std::move(*reply), true);
  stream.expires_never();  // the door has a clock of its own
  door.ask(std::move(std::get<Question>(outcome)),
           [self = shared_from_this()](Reply reply) { self->respond(std::move(reply), true); });
}

Request Connection::request(bool withBody) const {
  auto& message = parser->get();
  Request result;
  result.method = {message.method_string().data(), message.method_string().size()};
  result.target = {message.target().data(), message.target().size()};
  result.contentType = field(message, http::field::content_type).value_or("");
  if (withBody) result.body = message.body();
  result.caller = {field(message, http::field::host), field(message, http::field::origin),
                   field(message, http::field::authorization)};
  return result;
}

void Connection::onBroken(beast::error_code error) {
  // Gone, or too slow: nobody reads an answer. Else it sent what is not HTTP, and is told.
  if (error.category() != http::make_error_code(http::error::bad_target).category()) return;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return;
  respond(brokenReply(error, bounds), false);
}

// ---- answering -----------------------------------------------------------------------------------------------------

Connection::Message Connection::encode(Reply reply, bool keepAlive) const {
  auto fill = [&](auto& message) {
    message.version(11);
    message.result(reply.status);
    message.set(http::field::server, "epochly-scheduler");
    message.set(http::field::date, httpDate());
    message.set(http::field::content_type, reply.contentType);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    for (auto& [name, value] : reply.headers) message.set(name, value);
    message.keep_alive(keepAlive);
  };
  if (parser && parser->get().method() == http::verb::head) {
    http::response<http::empty_body> message;
    fill(message);
    message.content_length(reply.body.size());
    return message;
  }
  http::response<http::string_body> message;
  fill(message);
  message.body() = std::move(reply.body);
  message.prepare_payload();
  return message;
}

void Connection::respond(Reply reply, bool mayContinue) {
  bool keepAlive = mayContinue && parser && parser->get().keep_alive();
  stream.expires_after(bounds.request);
  beast::async_write(stream, encode(std::move(reply), keepAlive),
                     [self = shared_from_this(), keepAlive](beast::error_code error, size_t) {
                       if (error) return;
                       keepAlive ? self->awaitRequest() : self->closeGently();
                     });
}

void Connection::turnAway() { respond(unavailable("too many connections are open; try again"), false); }

void Connection::closeGently() {
  beast::error_code ignored;
  stream.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  stream.expires_after(bounds.discard);
  discard();
}

void Connection::discard() {
  buffer.clear();
  stream.async_read_some(buffer.prepare(READ_BYTES), [self = shared_from_this()](beast::error_code error, size_t size) {
    self->discarded += size;
    if (!error && self->discarded < self->bounds.discardBytesMax) self->discard();
  });
}

}  // namespace epochly::rest
