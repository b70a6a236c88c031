#include "rest/server.h"

#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "rt/log.h"

namespace epochly::rest {

namespace net = boost::asio;
using net::ip::tcp;

namespace {

// After a failed accept (no descriptor left) we look again: by then some connection has ended.
constexpr std::chrono::milliseconds ACCEPT_RETRY{100};

tcp::endpoint resolve(net::io_context& context, const rt::Address& address) {
  boost::system::error_code error;
  auto literal = net::ip::make_address(address.host.cStr(), error);
  if (!error) return {literal, address.port};
  tcp::resolver resolver(context);
  auto found = resolver.resolve(address.host.cStr(), std::to_string(address.port), tcp::resolver::passive, error);
  if (!error && !found.empty()) return found.begin()->endpoint();
  kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT,
                                    kj::str("cannot serve HTTP on ", address.forKj(), ": ", error.message().c_str())));
}

tcp::acceptor listenOn(net::io_context& context, const rt::Address& address) {
  boost::system::error_code error;
  auto endpoint = resolve(context, address);
  tcp::acceptor acceptor(context);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
  if (!error) return acceptor;
  kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT,
                                    kj::str("cannot serve HTTP on ", address.forKj(), ": ", error.message().c_str())));
}

}  // namespace

// Made on the scheduler's thread, used on the REST thread once that runs.
class Server::Impl {
 public:
  Impl(ServerOptions given, const rt::Mailbox& mailbox, std::function<Moment()> look, FigureSource figures)
      : options(std::move(given)),
        context(1),
        api(Access(options.listen, options.allowedHosts, options.token), std::move(figures)),
        door(context, mailbox, std::move(look)),
        acceptor(listenOn(context, options.listen)),
        retryTimer(context) {
    accept();
    thread = std::thread([this] { run(); });
  }

  ~Impl() {
    context.stop();
    thread.join();
  }

  std::string url() const {
    auto host = options.listen.host.findFirst(':') == nullptr ? kj::str(options.listen.host)
                                                              : kj::str('[', options.listen.host, ']');
    return kj::str("http://", host, ':', acceptor.local_endpoint().port()).cStr();
  }

 private:
  const ServerOptions options;
  net::io_context context;
  const Api api;
  CoreDoor door;
  tcp::acceptor acceptor;
  net::steady_timer retryTimer;
  std::shared_ptr<size_t> open = std::make_shared<size_t>(0);  // connections
  std::thread thread;

  void run() {
    rt::LogLines lines;
    for (;;) {
      try {
        context.run();
        return;
      } catch (const std::exception& error) {  // one connection's failure; the others go on
        rt::log::error("a REST connection failed: ", error.what());
      }
    }
  }

  void accept() {
    acceptor.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error) return retry(error);
      serve(std::move(socket));
      accept();
    });
  }

  void serve(tcp::socket socket) {
    bool isFull = *open >= options.bounds.connectionsMax;
    if (*open >= options.bounds.connectionsMax + options.bounds.turnedAwayMax) return;
    auto connection = std::make_shared<Connection>(std::move(socket), api, door, options.bounds, open);
    isFull ? connection->turnAway() : connection->start();
  }

  void retry(boost::system::error_code error) {
    rt::log::error("cannot accept an HTTP connection: ", error.message().c_str());
    retryTimer.expires_after(ACCEPT_RETRY);
    retryTimer.async_wait([this](boost::system::error_code stopped) {
      if (!stopped) accept();
    });
  }
};

Server::Server(ServerOptions options, const rt::Mailbox& mailbox, std::function<Moment()> look, FigureSource figures)
    : impl(std::make_unique<Impl>(std::move(options), mailbox, std::move(look), std::move(figures))) {}

Server::~Server() = default;

std::string Server::url() const { return impl->url(); }

}  // namespace epochly::rest
