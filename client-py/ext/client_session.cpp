// A client's thread as Python's threads hold it.
#include <set>

#include "ext/client_python.h"
#include "ext/client_regions.h"
#include "wire/errors.h"

namespace epochly::ext {

namespace {

// Every session there is. Guarded by the GIL.
std::set<Session*> sessions;

}  // namespace

Session::Session(client::LinkOptions options, client::WindowBounds bounds)
    : owned(new client::ClientThread(kj::mv(options), bounds, std::make_unique<client::SharedMemoryOpener>())) {
  sessions.insert(this);
}

Session::~Session() {
  sessions.erase(this);
  if (inForkedChild()) return;
  if (PyGILState_Check() == 0) {
    delete owned;
  } else {
    WithoutGil unlocked;  // it waits for the thread
    delete owned;
  }
}

void Session::close() {
  if (inForkedChild()) return;
  WithoutGil unlocked;
  owned->stop(Failure::of(ErrorCode::CANCELLED, kj::str("the client was closed before the task ended")));
}

void Session::closeAll() {
  std::vector<std::shared_ptr<Session>> closing;  // each may lose its last owner while another is closed
  closing.reserve(sessions.size());
  for (auto session : sessions) closing.push_back(session->shared_from_this());
  for (auto& session : closing) session->close();
}

client::ClientThread& Session::thread() {
  if (inForkedChild()) {
    nb::object closed = nb::module_::import_("epochly.errors").attr("ClientClosed");
    raisePython(closed("this client belongs to the process that this one was forked from: call epochly.connect() here"));
  }
  return *owned;
}

}  // namespace epochly::ext
