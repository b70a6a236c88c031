#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include "ext/client_python.h"
#include "ext/codec.h"

namespace epochly::ext {

namespace {

using client::Ending;

nb::object text(kj::StringPtr value) { return nb::steal(PyUnicode_DecodeUTF8(value.begin(), value.size(), "replace")); }

nb::object imported(const char* module, const char* name) { return nb::module_::import_(module).attr(name); }

nb::bytes bytesOf(kj::ArrayPtr<const byte> data) { return nb::bytes(data.begin(), data.size()); }

nb::object secondsOf(uint64_t nanoseconds) {
  if (nanoseconds == client::Timings::NONE) return nb::none();
  return nb::float_(nanoseconds / 1e9);
}

nb::object timingsOf(const client::Timings& timings) {
  nb::dict seconds;
  seconds["queue"] = secondsOf(timings.queue);
  seconds["transfer"] = secondsOf(timings.transfer);
  seconds["compile"] = secondsOf(timings.compile);
  seconds["run"] = secondsOf(timings.run);
  seconds["cpu"] = secondsOf(timings.cpu);
  seconds["total"] = secondsOf(timings.total);
  return seconds;
}

nb::object placementOf(const client::Placement& placement) {
  nb::dict facts;
  facts["level_asked"] = placement.levelAsked;
  facts["level_chosen"] = placement.levelChosen;
  facts["level_ran"] = placement.levelRan;
  facts["why"] = text(placement.why);
  nb::list declined;
  for (auto& row : placement.declined) declined.append(nb::make_tuple(row.level, text(row.reason)));
  facts["declined"] = declined;
  facts["worker"] = text(placement.worker);
  facts["worker_id"] = placement.workerId;
  return facts;
}

// (attempt, timings, placement or None), or None while it is pending: what epochly.future makes a TaskReport of.
nb::object reportOf(const PyFuture& future) {
  if (future.ending() == Ending::PENDING) return nb::none();
  auto& outcome = future.entry->outcome;
  nb::object placement = outcome.placement ? placementOf(*outcome.placement) : nb::object(nb::none());
  return nb::make_tuple(outcome.attempt, timingsOf(outcome.timings), placement);
}

int traverseFuture(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  auto& future = *nb::inst_ptr<PyFuture>(self);
  Py_VISIT(future.value.ptr());
  Py_VISIT(future.error.ptr());
  return 0;
}

int clearFuture(PyObject* self) {
  auto& future = *nb::inst_ptr<PyFuture>(self);
  future.value.reset();
  future.error.reset();
  return 0;
}

PyType_Slot futureSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverseFuture)},
                             {Py_tp_clear, reinterpret_cast<void*>(clearFuture)},
                             {0, nullptr}};

}  // namespace

nb::object makePythonError(ErrorCode code, kj::StringPtr message) {
  return imported("epochly.errors", "from_code")(static_cast<uint16_t>(code), text(message));
}

void raisePython(nb::handle error) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

void raisePython(ErrorCode code, kj::StringPtr message) { raisePython(makePythonError(code, message)); }

void PyFuture::await(std::optional<double> timeout) {
  if (entry->done()) return;
  auto& ledger = session->thread().ledger;
  bool done = waitInterruptibly(timeout, [&](auto until) { return ledger.await(*entry, until); });
  if (!done) raisePython(imported("concurrent.futures", "TimeoutError")());
}

nb::object PyFuture::result(std::optional<double> timeout) {
  await(timeout);
  if (ending() != Ending::VALUE) raisePython(exception(0));
  if (value.is_valid()) return value;
  return error.is_valid() ? (raisePython(error), nb::object()) : loadValue();
}

nb::object PyFuture::exception(std::optional<double> timeout) {
  await(timeout);
  if (error.is_valid()) return error;
  if (ending() == Ending::VALUE) {
    if (value.is_valid()) return nb::none();
    try {
      loadValue();
      return nb::none();
    } catch (nb::python_error&) {
      if (!error.is_valid()) throw;
      return error;
    }
  }
  auto loaded = loadError();
  if (!error.is_valid()) error = kj::mv(loaded);  // another thread may have been faster
  return error;
}

bool PyFuture::cancel() {
  if (entry->done()) return ending() == Ending::CANCELLED;
  auto& thread = session->thread();
  bool wake = false;
  bool cancelled = thread.ledger.cancel(*entry, wake);
  if (wake) thread.wake();
  return cancelled || ending() == Ending::CANCELLED;
}

nb::object PyFuture::loadValue() {
  auto outcome = &entry->outcome;
  std::vector<nb::object> buffers;
  for (auto i : kj::indices(outcome->value.buffers)) {
    if (auto region = outcome->regions[i]) {
      auto bytes = region->bytes();
      buffers.push_back(memoryBuffer(kj::mv(region), bytes));
    } else {
      // The entry owns the bytes; the buffer keeps the entry.
      buffers.push_back(memoryBuffer(entry, outcome->value.buffers[i].get<kj::Array<byte>>()));
    }
  }
  nb::object loaded;
  try {
    loading++;
    KJ_DEFER(loading--);
    loaded = decode(outcome->value.pickle, buffers);
  } catch (nb::python_error& why) {
    if (!why.matches(PyExc_Exception)) throw;
    error = imported("epochly._exceptions", "unreadable_result")(why.value());
    raisePython(error);
  }
  if (!value.is_valid()) value = kj::mv(loaded);  // another thread may have been faster
  if (loading == 0) outcome->value.pickle = nullptr;
  return value;
}

nb::object PyFuture::loadError() {
  auto& failure = entry->outcome.failure;
  if (failure.code != ErrorCode::USER_EXCEPTION) return makePythonError(failure.code, failure.message);
  return imported("epochly._exceptions", "revive")(text(failure.message), text(failure.type), text(failure.traceback),
                                                   bytesOf(failure.pickled));
}

namespace {

// Sequence numbers of the observed futures of this one's client that have ended, waiting for one.
std::vector<uint64_t> awaitEnded(const PyFuture& future, double seconds) {
  auto& ledger = future.session->thread().ledger;
  WithoutGil unlocked;
  auto until = client::Ledger::Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  std::vector<uint64_t> seqs;
  for (auto& entry : ledger.awaitEnded(until)) seqs.push_back(entry->seq);
  return seqs;
}

}  // namespace

void bindFuture(nb::module_& m) {
  nb::class_<PyFuture>(m, "FutureBase", nb::type_slots(futureSlots), "The native half of epochly.Future.")
      .def(
          "result", &PyFuture::result, nb::arg("timeout") = nb::none(),
          "The value, waiting for it at most ``timeout`` seconds (None: for as long as it takes).\n\n"
          "Raises what the function raised, with the worker's traceback as the innermost cause; a class of epochly.errors;\n"
          "or concurrent.futures.TimeoutError, after which the task goes on.")
      .def("exception", &PyFuture::exception, nb::arg("timeout") = nb::none(),
           nb::sig("def exception(self, timeout: float | None = None) -> BaseException | None"),
           "What result() would raise, or None, waiting as it does.")
      .def(
          "done", [](const PyFuture& future) { return future.entry->done(); }, "True once it has a value or an error.")
      .def(
          "cancelled", [](const PyFuture& future) { return future.ending() == Ending::CANCELLED; },
          "True if it was cancelled.")
      .def("cancel", &PyFuture::cancel,
           "Ends the task, also when it runs (its process is ended). False if it had ended already.")
      .def_prop_ro("_seq", [](const PyFuture& future) { return future.entry->seq; })
      .def_prop_ro("_session", [](const PyFuture& future) { return reinterpret_cast<uintptr_t>(future.session.get()); })
      .def("_failed", [](const PyFuture& future) { return future.ending() == Ending::FAILURE; })
      .def("_observe", [](const PyFuture& future) { return future.session->thread().ledger.observe(future.entry); })
      .def("_await_ended", awaitEnded)
      .def("_anchor",
           [](const PyFuture& future) {
             return PyFuture{future.session, std::make_shared<client::Entry>()};
           })
      .def("_report", [](const PyFuture& future) { return reportOf(future); });
}

}  // namespace epochly::ext
