#include "ext/codec.h"

#include <atomic>
#include <cstring>

#include "ext/fork_guard.h"
#include "ext/without_gil.h"
#include "objects/object.h"
#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::ext {

namespace {

constexpr int PICKLE_PROTOCOL = 5;

std::atomic<uint64_t> sharedFull{0};

// The Python functions that do the work, looked up once. Never freed: the interpreter may be gone when statics are destroyed.
struct Pickling {
  nb::object dumps = nb::module_::import_("pickle").attr("dumps");
  nb::object loads = nb::module_::import_("pickle").attr("loads");
  nb::object cloudDumps = nb::module_::import_("epochly._pickling").attr("dumps");
  // Modules that the user told cloudpickle to send by value; plain pickle would not know.
  nb::object byValueModules =
      nb::getattr(nb::module_::import_("cloudpickle.cloudpickle"), "_PICKLE_BY_VALUE_MODULES", nb::none());
  nb::object spilled = nb::module_::import_("epochly.serialize").attr("Spilled");
  nb::object protocol = nb::int_(PICKLE_PROTOCOL);
  nb::object dumpKeywords = nb::make_tuple("buffer_callback");
  nb::object loadKeywords = nb::make_tuple("buffers");
};

// Guarded by the GIL and not by the compiler: importing gives up the GIL, and a thread that then waited for the compiler's guard
// would hold it.
const Pickling& pickling() {
  static const Pickling* instance = nullptr;
  if (instance == nullptr) {
    auto made = new Pickling;
    if (instance == nullptr) instance = made;
  }
  return *instance;
}

[[noreturn]] void raiseCurrent() { throw nb::python_error(); }

nb::object owned(PyObject* object) {
  if (object == nullptr) raiseCurrent();
  return nb::steal(object);
}

bool isScalar(PyObject* value) {
  return value == Py_None || PyLong_CheckExact(value) || PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) ||
         PyBool_Check(value) || PyBytes_CheckExact(value);
}

// Nothing in it can have an out-of-band buffer. Sees through the tuples of a call's arguments.
bool isPlain(PyObject* value) {
  if (!PyTuple_CheckExact(value)) return isScalar(value);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++) {
    if (!isPlain(PyTuple_GET_ITEM(value, i))) return false;
  }
  return true;
}

// A pickle and its out-of-band buffers, as the pickler gave them.
struct Dump {
  nb::object stream;   // bytes
  nb::object buffers;  // list of PickleBuffer; null when none were asked for

  kj::ArrayPtr<const byte> bytes() const {
    return kj::arrayPtr(reinterpret_cast<const byte*>(PyBytes_AS_STRING(stream.ptr())), PyBytes_GET_SIZE(stream.ptr()));
  }
  size_t bufferCount() const { return buffers.is_valid() ? PyList_GET_SIZE(buffers.ptr()) : 0; }
};

Dump dumpWith(const nb::object& dumps, nb::handle value, bool outOfBand) {
  auto& tools = pickling();
  Dump dump;
  nb::object callback;
  if (outOfBand) {
    dump.buffers = nb::list();
    callback = dump.buffers.attr("append");
  }
  PyObject* arguments[] = {nullptr, value.ptr(), tools.protocol.ptr(), callback.ptr()};
  dump.stream = owned(PyObject_Vectorcall(dumps.ptr(), arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                          outOfBand ? tools.dumpKeywords.ptr() : nullptr));
  return dump;
}

bool namesMain(const Dump& dump) {
  static constexpr char MAIN[] = "__main__";
  auto bytes = dump.bytes();
  return memmem(bytes.begin(), bytes.size(), MAIN, sizeof(MAIN) - 1) != nullptr;
}

bool anyModuleByValue() {
  auto& modules = pickling().byValueModules;
  return PyAnySet_Check(modules.ptr()) && PySet_GET_SIZE(modules.ptr()) > 0;
}

// Plain pickle where it will do: it is written in C. cloudpickle for what it refuses, and for what would be looked up in the
// reader's own __main__.
Dump dump(nb::handle value, Reader reader, bool outOfBand) {
  auto& tools = pickling();
  if (!(reader == Reader::WORKER && anyModuleByValue())) {
    try {
      auto plain = dumpWith(tools.dumps, value, outOfBand);
      if (reader == Reader::CLIENT || !namesMain(plain)) return plain;
    } catch (nb::python_error& refused) {
      if (!refused.matches(PyExc_Exception)) throw;
    }
  }
  return dumpWith(tools.cloudDumps, value, outOfBand);
}

// Views of the buffers' memory, held while it is copied.
class BufferViews {
 public:
  explicit BufferViews(const Dump& dump) {
    views.reserve(dump.bufferCount());
    for (size_t i = 0; i < dump.bufferCount(); i++) {
      Py_buffer view;
      if (PyObject_GetBuffer(PyList_GET_ITEM(dump.buffers.ptr(), i), &view, PyBUF_ANY_CONTIGUOUS) != 0) raiseCurrent();
      views.push_back(view);
    }
  }
  ~BufferViews() {
    for (auto& view : views) PyBuffer_Release(&view);
  }
  KJ_DISALLOW_COPY(BufferViews);

  size_t size() const { return views.size(); }
  kj::ArrayPtr<const byte> operator[](size_t i) const {
    return kj::arrayPtr(reinterpret_cast<const byte*>(views[i].buf), views[i].len);
  }
  bool anyLarge() const {
    for (auto& view : views) {
      if (static_cast<size_t>(view.len) >= SHARED_BUFFER_BYTES_MIN) return true;
    }
    return false;
  }

 private:
  std::vector<Py_buffer> views;
};

void copyOut(kj::ArrayPtr<byte> to, kj::ArrayPtr<const byte> from) {
  // Below it, giving up the GIL costs more than copying under it.
  constexpr size_t WITHOUT_GIL_MIN = 256u << 10;
  if (from.size() < WITHOUT_GIL_MIN) {
    if (from.size() > 0) memcpy(to.begin(), from.begin(), from.size());
    return;
  }
  WithoutGil unlocked;
  memcpy(to.begin(), from.begin(), from.size());
}

kj::Array<byte> copyOf(kj::ArrayPtr<const byte> from) {
  auto copy = kj::heapArray<byte>(from.size());
  copyOut(copy, from);
  return copy;
}

// The large buffers in one shared memory object; none if shared memory is full, and then everything travels inline.
kj::Maybe<objects::Object> createShared(const BufferViews& views, kj::Maybe<uint32_t> mark, std::vector<size_t>& offsets) {
  objects::Layout layout;
  for (size_t i = 0; i < views.size(); i++) {
    offsets.push_back(views[i].size() >= SHARED_BUFFER_BYTES_MIN ? layout.add(views[i].size()) : 0);
  }
  kj::Maybe<objects::Object> object;
  auto problem = kj::runCatchingExceptions([&]() { object = objects::Object::create(layout.bytes(), mark); });
  KJ_IF_MAYBE(why, problem) {
    if (codeOf(*why) != ErrorCode::OVERLOADED) kj::throwFatalException(kj::mv(*why));
    sharedFull++;
    return nullptr;
  }
  return object;
}

void writeBuffers(const BufferViews& views, bool shared, kj::Maybe<uint32_t> mark, Encoded& encoded) {
  auto buffers = kj::heapArrayBuilder<Payload::Buffer>(views.size());
  std::vector<size_t> offsets;
  kj::Maybe<objects::Object> object;
  if (shared && views.anyLarge()) object = createShared(views, mark, offsets);
  for (size_t i = 0; i < views.size(); i++) {
    Payload::Buffer buffer;
    KJ_IF_MAYBE(memory, object) {
      if (views[i].size() >= SHARED_BUFFER_BYTES_MIN) {
        copyOut(memory->bytes().slice(offsets[i], offsets[i] + views[i].size()), views[i]);
        buffer.init<SharedBuffer>(SharedBuffer{thisHost(), kj::str(memory->name()), offsets[i], views[i].size()});
        buffers.add(kj::mv(buffer));
        continue;
      }
    }
    buffer.init<kj::Array<byte>>(copyOf(views[i]));
    buffers.add(kj::mv(buffer));
  }
  encoded.payload.buffers = buffers.finish();
  KJ_IF_MAYBE(memory, object) encoded.sharedName = std::make_shared<SharedName>(kj::str(memory->name()));
}

void requireFits(const Payload& payload) {
  size_t bytes = payload.inlineBytes();
  if (bytes <= PAYLOAD_BYTES_MAX) return;
  kj::throwFatalException(makeError(
      ErrorCode::PAYLOAD_TOO_LARGE,
      kj::str(bytes, " bytes are over the limit of ", PAYLOAD_BYTES_MAX,
              " for what travels inside a message. On the worker's own host large values go through shared memory; "
              "elsewhere split the work, or pass a path or URL instead of the data")));
}

// A stream that is large itself becomes a buffer of a small one, so that it too goes through shared memory.
Dump spill(Dump large) {
  auto buffers = large.buffers.is_valid() ? large.buffers : nb::list();
  return dumpWith(pickling().dumps, pickling().spilled(large.stream, buffers), true);
}

}  // namespace

SharedName::SharedName(kj::String name) : name(kj::mv(name)), generation(forkGeneration()) {}

SharedName::~SharedName() noexcept {
  if (released || generation != forkGeneration()) return;
  kj::runCatchingExceptions([this]() { objects::unlink(name); });
}

Encoded encode(nb::handle value, Reader reader, bool shared, kj::Maybe<uint32_t> mark) {
  auto dumped = dump(value, reader, !isPlain(value.ptr()));
  if (dumped.bufferCount() > BUFFERS_MAX) dumped = dump(value, reader, false);
  if (shared && dumped.bytes().size() >= SHARED_BUFFER_BYTES_MIN && dumped.bufferCount() < BUFFERS_MAX) {
    dumped = spill(kj::mv(dumped));
  }
  Encoded encoded;
  encoded.payload.pickle = copyOf(dumped.bytes());
  if (dumped.bufferCount() > 0) writeBuffers(BufferViews(dumped), shared, mark, encoded);
  requireFits(encoded.payload);
  return encoded;
}

uint64_t sharedMemoryFullCount() { return sharedFull; }

nb::object decode(kj::ArrayPtr<const byte> stream, const std::vector<nb::object>& buffers) {
  auto& tools = pickling();
  auto memory = const_cast<char*>(reinterpret_cast<const char*>(stream.begin()));
  auto view = owned(PyMemoryView_FromMemory(memory, stream.size(), PyBUF_READ));
  if (buffers.empty()) {
    PyObject* arguments[] = {nullptr, view.ptr()};
    return owned(PyObject_Vectorcall(tools.loads.ptr(), arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  }
  nb::list list;
  for (auto& buffer : buffers) list.append(buffer);
  PyObject* arguments[] = {nullptr, view.ptr(), list.ptr()};
  return owned(
      PyObject_Vectorcall(tools.loads.ptr(), arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, tools.loadKeywords.ptr()));
}

namespace {

nb::object mapped(kj::StringPtr name, uint64_t offset, uint64_t size) {
  auto view = std::make_shared<objects::View>(objects::View::open(name, offset, size, objects::Access::PRIVATE));
  auto bytes = view->bytes();
  return memoryBuffer(kj::mv(view), bytes);
}

}  // namespace

nb::object decode(schema::Payload::Reader payload) {
  std::vector<nb::object> buffers;
  for (auto buffer : payload.getBuffers()) {
    if (buffer.isInline()) {
      buffers.push_back(memoryBuffer(copyOf(buffer.getInline())));
    } else {
      auto shared = buffer.getShared();
      buffers.push_back(mapped(shared.getName(), shared.getOffset(), shared.getSize()));
    }
  }
  return decode(payload.getPickle(), buffers);
}

nb::object decode(Payload payload) {
  std::vector<nb::object> buffers;
  for (auto& buffer : payload.buffers) {
    if (buffer.is<SharedBuffer>()) {
      auto& shared = buffer.get<SharedBuffer>();
      buffers.push_back(mapped(shared.name, shared.offset, shared.size));
    } else {
      buffers.push_back(memoryBuffer(kj::mv(buffer.get<kj::Array<byte>>())));
    }
  }
  return decode(payload.pickle, buffers);
}

// ---- memory with the buffer protocol -------------------------------------------------------------------------------

namespace {

struct MemoryBuffer {
  std::shared_ptr<void> owner;
  kj::ArrayPtr<byte> bytes;
};

int getBuffer(PyObject* self, Py_buffer* view, int flags) {
  auto& memory = *nb::inst_ptr<MemoryBuffer>(self);
  return PyBuffer_FillInfo(view, self, memory.bytes.begin(), memory.bytes.size(), 0, flags);
}

PyType_Slot memoryBufferSlots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(getBuffer)}, {0, nullptr}};

}  // namespace

nb::object memoryBuffer(std::shared_ptr<void> owner, kj::ArrayPtr<byte> bytes) {
  return nb::cast(MemoryBuffer{kj::mv(owner), bytes});
}

nb::object memoryBuffer(kj::Array<byte> bytes) {
  auto owner = std::make_shared<kj::Array<byte>>(kj::mv(bytes));
  auto range = owner->asPtr();
  return memoryBuffer(kj::mv(owner), range);
}

void bindCodec(nb::module_& m) {
  nb::class_<MemoryBuffer>(m, "MemoryBuffer", nb::type_slots(memoryBufferSlots),
                           "Memory that a value arrived in. Has the buffer protocol; goes when its last user does.");
}

}  // namespace epochly::ext
