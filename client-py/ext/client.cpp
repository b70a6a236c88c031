// The native half of epochly.Client.
#include <cmath>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "ext/bindings.h"
#include "ext/client_answers.h"
#include "ext/client_python.h"
#include "ext/codec.h"
#include "ext/local/sizes.h"
#include "ext/shared_buffers.h"
#include "wire/errors.h"
#include "wire/task_spec.h"
#include "wire/token.h"

namespace epochly::ext {

namespace {

using client::Admission;
using client::Question;

constexpr int8_t LEVEL_AUTO = -1;

kj::Duration durationOf(double seconds) { return static_cast<int64_t>(seconds * 1e9) * kj::NANOSECONDS; }

int8_t levelOf(nb::handle level) {
  if (PyUnicode_Check(level.ptr()) && PyUnicode_CompareWithASCIIString(level.ptr(), "auto") == 0) return LEVEL_AUTO;
  if (PyIndex_Check(level.ptr()) && !PyBool_Check(level.ptr())) {
    auto number = PyNumber_AsSsize_t(level.ptr(), nullptr);
    if (number >= 0 && number < static_cast<Py_ssize_t>(LEVEL_COUNT)) return static_cast<int8_t>(number);
  }
  PyErr_Clear();
  raisePython(ErrorCode::INVALID_ARGUMENT,
              kj::str("level ", nb::repr(level).c_str(),
                      " does not exist: use \"auto\", or 0 (monitor), 1 (threads), 2 (jit), 3 (multicore) or 4 (gpu)"));
}

uint32_t timeoutOf(std::optional<double> seconds) {
  if (!seconds) return 0;
  constexpr double LONGEST = TIMEOUT_MS_MAX / 1000.0;
  if (*seconds > 0 && *seconds <= LONGEST) return static_cast<uint32_t>(std::ceil(*seconds * 1000));
  raisePython(ErrorCode::INVALID_ARGUMENT,
              kj::str("timeout ", *seconds, ": use seconds, more than 0 and at most ", LONGEST, ", or None"));
}

uint16_t retriesOf(int64_t retries) {
  if (retries >= 0 && retries <= RETRIES_MAX) return static_cast<uint16_t>(retries);
  raisePython(ErrorCode::INVALID_ARGUMENT, kj::str("retries ", retries, ": use 0 to ", RETRIES_MAX));
}

// Lives under the GIL.
class PyClient {
 public:
  struct Settings {
    std::string address, software;
    nb::bytes token;
    nb::handle patience;  // a dict of client::Patience's names to seconds
    uint64_t windowTasks;
    uint64_t windowBytes;
    nb::object futureType;
  };
  explicit PyClient(const Settings& settings);

  nb::object submit(nb::handle function, nb::handle args, nb::handle kwargs, nb::handle level, int64_t retries,
                    std::optional<double> timeout, std::optional<double> patience);
  bool awaitConnected(double seconds);
  nb::dict facts();
  nb::object ask(Question::About about, uint64_t seq, double patience);
  bool awaitIdle(std::optional<double> seconds);
  void close();

 private:
  std::shared_ptr<Session> session;
  FunctionCache functions;
  nb::object futureType;

  Encoded encodeArguments(nb::handle args, nb::handle kwargs);
  void enqueue(client::TaskSpec& spec, std::optional<double> patience);
  nb::object futureOf(std::shared_ptr<client::Entry> entry);
  [[noreturn]] void raiseClosed();
};

client::Patience patienceOf(nb::handle seconds) {
  client::Patience patience;
  std::pair<const char*, kj::Duration*> fields[] = {{"handshake", &patience.handshake},     {"connect", &patience.connect},
                                                    {"reconnect", &patience.reconnect},     {"silence", &patience.silence},
                                                    {"sign_of_life", &patience.signOfLife}, {"close", &patience.close}};
  for (auto& [name, field] : fields) {
    auto given = nb::borrow<nb::dict>(seconds).get(name, nb::none());
    if (!given.is_none()) *field = durationOf(nb::cast<double>(given));
  }
  return patience;
}

PyClient::PyClient(const Settings& settings) : futureType(settings.futureType) {
  client::LinkOptions options;
  KJ_IF_MAYBE(address, rt::parseAddress(settings.address.c_str())) {
    options.address = kj::mv(*address);
  } else {
    auto message = kj::str("'", settings.address.c_str(), "' is not an address: use unix:PATH or tcp://HOST:PORT");
    PyErr_SetString(PyExc_ValueError, message.cStr());
    throw nb::python_error();
  }
  options.token = kj::heapArray<byte>(reinterpret_cast<const byte*>(settings.token.data()), settings.token.size());
  options.software = kj::str(settings.software.c_str());
  options.patience = patienceOf(settings.patience);
  session = std::make_shared<Session>(kj::mv(options), client::WindowBounds{settings.windowTasks, settings.windowBytes});
}

nb::object PyClient::submit(nb::handle function, nb::handle args, nb::handle kwargs, nb::handle level, int64_t retries,
                            std::optional<double> timeout, std::optional<double> patience) {
  session->thread();  // not in a forked child
  client::TaskSpec spec;
  spec.level = levelOf(level);
  spec.retriesMax = retriesOf(retries);
  spec.timeoutMs = timeoutOf(timeout);
  spec.dataSize = dataSizeOf(&PyTuple_GET_ITEM(args.ptr(), 0), PyTuple_GET_SIZE(args.ptr()));
  spec.entry = std::make_shared<client::Entry>();
  nb::object ownArgs = nb::borrow(args);
  if (PyMethod_Check(function.ptr())) {
    // The object travels with the arguments, as it is now; the function behind it is the same for every object.
    ownArgs = nb::make_tuple(nb::handle(PyMethod_GET_SELF(function.ptr()))) + ownArgs;
    function = PyMethod_GET_FUNCTION(function.ptr());
  }
  spec.function = functions.find(function);
  spec.workload = functions.workloadOf(function);
  auto encoded = encodeArguments(ownArgs, kwargs);
  spec.arguments = kj::mv(encoded.payload);
  spec.entry->keepsake = kj::mv(encoded.sharedName);
  spec.entry->submittedNs = client::nowNs();
  auto entry = spec.entry;
  enqueue(spec, patience);
  return futureOf(kj::mv(entry));
}

Encoded PyClient::encodeArguments(nb::handle args, nb::handle kwargs) {
  nb::object call = nb::make_tuple(args, PyDict_GET_SIZE(kwargs.ptr()) > 0 ? kwargs : nb::handle(Py_None));
  try {
    return encode(call, Reader::WORKER, session->thread().status.sharedMemory);
  } catch (nb::python_error& why) {
    if (!why.matches(PyExc_Exception)) throw;
    raisePython(nb::module_::import_("epochly.serialize").attr("arguments_error")(args, kwargs, why.value()));
  }
}

void PyClient::enqueue(client::TaskSpec& spec, std::optional<double> patience) {
  auto& thread = session->thread();
  bool wake = false;
  Admission admission;
  while ((admission = thread.ledger.enqueue(spec, wake)) == Admission::FULL) {
    bool room = waitInterruptibly(patience, [&](auto until) { return thread.ledger.awaitRoom(until); });
    if (!room) {
      raisePython(ErrorCode::OVERLOADED,
                  kj::str("the scheduler takes no more tasks, for ", patience.value_or(0),
                          " s now: submit again later, or let submit() wait (overload_patience=None)"));
    }
  }
  if (admission == Admission::CLOSED) raiseClosed();
  if (wake) thread.wake();
}

void PyClient::raiseClosed() {
  auto why = session->thread().ledger.closedWhy();
  if (why.code != ErrorCode::CANCELLED) raisePython(why.code, why.message);
  raisePython(
      nb::module_::import_("epochly.errors").attr("ClientClosed")("this client is closed: call epochly.connect() again"));
}

nb::object PyClient::futureOf(std::shared_ptr<client::Entry> entry) {
  nb::object object = nb::inst_alloc(futureType);
  new (nb::inst_ptr<PyFuture>(object)) PyFuture{session, kj::mv(entry), {}, {}};
  nb::inst_mark_ready(object);
  return object;
}

bool PyClient::awaitConnected(double seconds) {
  auto& status = session->thread().status;
  bool settled = waitInterruptibly(seconds, [&](auto until) { return status.awaitSettled(until); });
  auto facts = status.facts();
  if (facts.failed) raisePython(facts.failure.code, facts.failure.message);
  return settled;
}

nb::dict PyClient::facts() {
  auto& thread = session->thread();
  auto facts = thread.status.facts();
  nb::dict row;
  row["connected"] = facts.connected;
  row["software"] = facts.software.cStr();
  row["http_url"] = facts.httpUrl.cStr();
  row["space"] = facts.space;
  row["reconnects"] = facts.reconnects;
  row["refusals"] = facts.refusals;
  row["shared_memory"] = thread.status.sharedMemory.load();
  row["shared_memory_full"] = sharedMemoryFullCount();
  row["submitted"] = thread.ledger.submitted();
  row["pending"] = thread.ledger.pending();
  return row;
}

nb::object PyClient::ask(Question::About about, uint64_t seq, double patience) {
  auto question = std::make_shared<Question>(about, seq);
  session->thread().ask(question);
  if (!waitInterruptibly(patience, [&](auto until) { return question->await(until); })) {
    raisePython(ErrorCode::DISCONNECTED, kj::str("the scheduler did not answer within ", patience, " s"));
  }
  auto words = question->take();
  switch (about) {
    case Question::About::WORKERS: return workersFrom(words);
    case Question::About::FUNCTIONS: return functionsFrom(words);
    case Question::About::TOTALS: return totalsFrom(words);
    case Question::About::EXPLAIN: return explanationFrom(words);
  }
  return nb::none();
}

bool PyClient::awaitIdle(std::optional<double> seconds) {
  auto& ledger = session->thread().ledger;
  return waitInterruptibly(seconds, [&](auto until) { return ledger.awaitIdle(until); });
}

void PyClient::close() {
  functions.forgetAll();
  session->close();
}

// Futures in the order in which they end. All of one client.
class PyCompletions {
 public:
  void add(const PyFuture& future, size_t index) {
    if (!session) session = future.session;
    if (session != future.session) throw nb::value_error("these futures are not all of one client");
    session->thread().ledger.watch(*future.entry, completions, index);
  }

  // Indices of those that have ended since, waiting for one; empty: `timeout` passed.
  std::vector<size_t> take(std::optional<double> timeout) {
    std::vector<size_t> ready;
    auto& ledger = session->thread().ledger;
    waitInterruptibly(timeout, [&](auto until) {
      ready = ledger.awaitCompletions(*completions, until);
      return !ready.empty();
    });
    return ready;
  }

 private:
  std::shared_ptr<Session> session;
  std::shared_ptr<client::Completions> completions = std::make_shared<client::Completions>();
};

nb::bytes bytesOf(const Token& token) { return nb::bytes(token.bytes().begin(), token.bytes().size()); }

nb::list errorTable() {
  nb::list rows;
  for (uint i = 0; i < ERROR_CODE_COUNT; i++) {
    auto& row = errorRowAt(i);
    rows.append(nb::make_tuple(i, row.name, row.pythonClass, row.httpStatus, row.title));
  }
  return rows;
}

// Failures of our own code that reach Python: by their row of the table.
void translateKjException(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const kj::Exception& exception) {
    auto error = makePythonError(codeOf(exception), messageOf(exception));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  }
}

void bindPyClient(nb::module_& m) {
  nb::class_<PyClient>(m, "ClientBase", "The native half of epochly.Client.")
      .def("__init__",
           [](PyClient* self, std::string address, nb::bytes token, std::string software, nb::dict patience,
              uint64_t windowTasks, uint64_t windowBytes, nb::object futureType) {
             new (self) PyClient({kj::mv(address), kj::mv(software), kj::mv(token), kj::mv(patience), windowTasks,
                                  windowBytes, kj::mv(futureType)});
           })
      .def("submit", &PyClient::submit, nb::arg().none(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
           nb::arg().none(), nb::arg().none())
      .def("await_connected", &PyClient::awaitConnected)
      .def("facts", &PyClient::facts)
      .def("workers", [](PyClient& self, double patience) { return self.ask(Question::About::WORKERS, 0, patience); })
      .def("functions", [](PyClient& self, double patience) { return self.ask(Question::About::FUNCTIONS, 0, patience); })
      .def("totals", [](PyClient& self, double patience) { return self.ask(Question::About::TOTALS, 0, patience); })
      .def("explain",
           [](PyClient& self, uint64_t seq, double patience) { return self.ask(Question::About::EXPLAIN, seq, patience); })
      .def("await_idle", &PyClient::awaitIdle, nb::arg().none())
      .def("close", &PyClient::close);
  m.def(
      "check_options",
      [](nb::handle level, int64_t retries, std::optional<double> timeout) {
        levelOf(level);
        retriesOf(retries);
        timeoutOf(timeout);
      },
      nb::arg("level").none(), nb::arg("retries"), nb::arg("timeout").none(), "Raises InvalidTask if submit() would.");
  nb::class_<PyCompletions>(m, "Completions", "Futures in the order in which they end.")
      .def(nb::init<>())
      .def("add", &PyCompletions::add)
      .def("take", &PyCompletions::take, nb::arg().none());
}

}  // namespace

void bindClient(nb::module_& m) {
  m.attr("__version__") = SOFTWARE_VERSION;
  nb::set_leak_warnings(false);  // a daemon thread may hold a future when the interpreter ends
  nb::register_exception_translator(translateKjException);
  m.def("error_table", errorTable, "[(code, name, class in epochly.errors, HTTP status, title)]: schemas/wire/errors.cpp.");
  m.def(
      "load_token", [](const std::string& path) { return bytesOf(Token::load(path.c_str())); },
      "The secret in a file, checked as the scheduler checks its own.");
  m.def(
      "token_of", [](const std::string& text) { return bytesOf(Token::of(text.c_str())); }, "The same of a text.");
  m.def(
      "end_clients",
      []() {
        beginExit();
        Session::closeAll();
      },
      "The interpreter ends: closes every client. Other threads that wait in here do not come back.");
  bindCodec(m);
  bindSharedBuffers(m);
  bindFuture(m);
  bindPyClient(m);
}

}  // namespace epochly::ext
