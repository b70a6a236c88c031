#include "ext/shared_buffers.h"

#include <memory>
#include <vector>

#include <kj/debug.h>

#include "ext/codec.h"
#include "ext/without_gil.h"
#include "objects/object.h"
#include "objects/renew.h"
#include "wire/errors.h"
#include "wire/ids.h"

namespace epochly::ext {

namespace {

// Keeps the name of one shared memory object; unlinks it when it goes.
struct SharedBuffers {
  std::shared_ptr<SharedName> name;
};

struct BufferView {
  Py_buffer view;
  explicit BufferView(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_ANY_CONTIGUOUS) != 0) throw nb::python_error();
  }
  ~BufferView() { PyBuffer_Release(&view); }
  kj::ArrayPtr<const byte> bytes() const {
    return kj::arrayPtr(static_cast<const byte*>(view.buf), static_cast<size_t>(view.len));
  }
  KJ_DISALLOW_COPY(BufferView);
};

// A new object with the buffers in it, and where; none if there is no room for them.
kj::Maybe<objects::Object> store(kj::ArrayPtr<std::unique_ptr<BufferView>> views, objects::Layout& layout,
                                 std::vector<objects::Part>& parts) {
  for (auto& each : views) {
    auto bytes = each->bytes();
    parts.push_back({layout.add(bytes.size()), bytes});
  }
  kj::Maybe<objects::Object> made;
  auto problem = kj::runCatchingExceptions([&]() {
    WithoutGil unlocked;
    made = objects::Object::createFrom(layout.bytes(), kj::arrayPtr(parts.data(), parts.size()));
  });
  KJ_IF_MAYBE(why, problem) {
    if (codeOf(*why) != ErrorCode::OVERLOADED) kj::throwFatalException(kj::mv(*why));
  }
  return made;
}

nb::tuple rangeOf(const objects::Object& object, size_t offset, size_t size) {
  return nb::make_tuple(thisHost().value, object.name().cStr(), offset, size);
}

// (owner, [(host, name, offset, size)]) of the buffers' copies in one shared memory object; None if there is no room for them. The
// copies can be mapped until the owner is gone.
nb::object shareBuffers(const nb::list& buffers) {
  std::vector<std::unique_ptr<BufferView>> views;
  for (nb::handle each : buffers) views.push_back(std::make_unique<BufferView>(each));
  objects::Layout layout;
  std::vector<objects::Part> parts;
  KJ_IF_MAYBE(object, store(kj::arrayPtr(views.data(), views.size()), layout, parts)) {
    nb::list ranges;
    for (auto& part : parts) ranges.append(rangeOf(*object, part.offset, part.bytes.size()));
    return nb::make_tuple(nb::cast(SharedBuffers{std::make_shared<SharedName>(kj::str(object->name()))}), ranges);
  }
  return nb::none();
}

// A copy of one buffer that is brought up to date instead of being made again. Guarded by its owner in Python: nobody renews it
// while somebody reads it.
class KeptCopy {
 public:
  explicit KeptCopy(objects::Object made) : name(std::make_shared<SharedName>(kj::str(made.name()))), object(kj::mv(made)) {}

  nb::tuple range() { return rangeOf(object, 0, object.bytes().size()); }
  // How many bytes differed, in whole blocks.
  size_t renew(nb::handle buffer, uint threads) {
    BufferView original(buffer);
    WithoutGil unlocked;
    return objects::renew(object.bytes(), original.bytes(), threads);
  }
  bool same(nb::handle buffer, uint threads) {
    BufferView original(buffer);
    WithoutGil unlocked;
    return objects::same(object.bytes(), original.bytes(), threads);
  }

 private:
  std::shared_ptr<SharedName> name;  // unlinks
  objects::Object object;
};

// None if there is no room for it.
nb::object keepCopy(nb::handle buffer) {
  std::vector<std::unique_ptr<BufferView>> views;
  views.push_back(std::make_unique<BufferView>(buffer));
  objects::Layout layout;
  std::vector<objects::Part> parts;
  KJ_IF_MAYBE(object, store(kj::arrayPtr(views.data(), views.size()), layout, parts)) {
    return nb::cast(KeptCopy(kj::mv(*object)));
  }
  return nb::none();
}

// An object with the buffer protocol: this process's copy-on-write view. None: the memory is another host's.
nb::object mapBuffer(uint64_t host, const char* name, size_t offset, size_t size) {
  if (host == 0 || host != thisHost().value) return nb::none();
  auto view = std::make_shared<objects::View>(objects::View::open(name, offset, size, objects::Access::PRIVATE));
  auto bytes = view->bytes();
  return memoryBuffer(kj::mv(view), bytes);
}

uint64_t addressOf(nb::handle buffer) { return reinterpret_cast<uint64_t>(BufferView(buffer).view.buf); }

}  // namespace

void bindSharedBuffers(nb::module_& m) {
  nb::class_<SharedBuffers>(m, "SharedBuffers", "Keeps buffers in shared memory. Their name goes when this does.");
  nb::class_<KeptCopy>(m, "KeptCopy", "A buffer's copy in shared memory, gone when this is.")
      .def_prop_ro("range", &KeptCopy::range)
      .def("renew", &KeptCopy::renew)
      .def("same", &KeptCopy::same);
  m.def("keep_copy", &keepCopy);
  m.def("address_of", &addressOf);
  m.def("share_buffers", &shareBuffers);
  m.def("map_buffer", &mapBuffer);
}

}  // namespace epochly::ext
