// One HTTP connection: reads a request, answers it, and waits for the next.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "rest/api.h"
#include "rest/core_door.h"

namespace epochly::rest {

struct HttpBounds {
  // Browsers send 2 KB with all their cookies.
  uint32_t headerBytesMax = 16u << 10;
  // A workload's metrics are 200 bytes; whatever else a caller's dict holds fits too.
  uint64_t bodyBytesMax = 64u << 10;
  // From a request's first byte to its last, and to write an answer: slow senders hold a connection no longer.
  std::chrono::milliseconds request{10'000};
  // Between requests. Longer than the usual scrape interval of 15 s, so Prometheus keeps its connection.
  std::chrono::milliseconds idle{60'000};
  // Open at once: dashboards and scrapers of a large site. Each costs a descriptor and 20 KB.
  size_t connectionsMax = 256;
  // Told that there are too many, and not yet gone. More are closed without a word: being told costs a connection's memory.
  size_t turnedAwayMax = 64;
  // What an unwanted sender may still send while it learns that it is unwanted, and for how long: what is under way already.
  size_t discardBytesMax = 1u << 20;
  std::chrono::milliseconds discard{1'000};
};

// Lives on the REST thread and keeps itself alive while it waits for something.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, const Api& api, CoreDoor& door, const HttpBounds& bounds,
             std::shared_ptr<size_t> open);
  ~Connection();
  void start() { awaitRequest(); }
  // There are too many: says so and closes.
  void turnAway();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Message = boost::beast::http::message_generator;

  boost::beast::tcp_stream stream;
  const Api& api;
  CoreDoor& door;
  const HttpBounds& bounds;
  std::shared_ptr<size_t> open;      // connections, this one included
  boost::beast::flat_buffer buffer;  // may hold the beginning of the next request
  std::optional<Parser> parser;
  size_t discarded = 0;

  void awaitRequest();
  void readHeader();
  void onHeader();
  void readBody();
  void onRequest();
  Request request(bool withBody) const;
  void onBroken(boost::beast::error_code error);
  void respond(Reply reply, bool mayContinue);
  Message encode(Reply reply, bool keepAlive) const;
  // After an answer that the caller may not expect yet: reads on for a moment, or the kernel would reset the connection and
  // the answer with it.
  void closeGently();
  void discard();
};

}  // namespace epochly::rest
