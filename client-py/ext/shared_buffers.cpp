#include "ext/shared_buffers.h"

#include <cstring>
#include <memory>
#include <vector>

#include <kj/debug.h>

#include "ext/codec.h"
#include "ext/without_gil.h"
#include "objects/object.h"
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
  KJ_DISALLOW_COPY(BufferView);
};

// (owner, [(host, name, offset, size)]) of the buffers' copies in one shared memory object; None if there is no room for them. The
// copies can be mapped until the owner is gone.
nb::object shareBuffers(const nb::list& buffers) {
  std::vector<std::unique_ptr<BufferView>> views;
  objects::Layout layout;
  std::vector<size_t> offsets;
  for (nb::handle each : buffers) {
    views.push_back(std::make_unique<BufferView>(each));
    offsets.push_back(layout.add(views.back()->view.len));
  }
  kj::Maybe<objects::Object> created;
  auto problem = kj::runCatchingExceptions([&]() { created = objects::Object::create(layout.bytes()); });
  KJ_IF_MAYBE(why, problem) {
    if (codeOf(*why) != ErrorCode::OVERLOADED) kj::throwFatalException(kj::mv(*why));
    return nb::none();
  }
  auto& object = KJ_ASSERT_NONNULL(created);
  nb::list ranges;
  nb::object host = nb::int_(thisHost().value);
  for (size_t i = 0; i < views.size(); i++) {
    auto& view = views[i]->view;
    {
      WithoutGil unlocked;
      if (view.len > 0) memcpy(object.bytes().begin() + offsets[i], view.buf, view.len);
    }
    ranges.append(nb::make_tuple(host, object.name().cStr(), offsets[i], static_cast<size_t>(view.len)));
  }
  return nb::make_tuple(nb::cast(SharedBuffers{std::make_shared<SharedName>(kj::str(object.name()))}), ranges);
}

// An object with the buffer protocol: this process's copy-on-write view. None: the memory is another host's.
nb::object mapBuffer(uint64_t host, const char* name, size_t offset, size_t size) {
  if (host == 0 || host != thisHost().value) return nb::none();
  auto view = std::make_shared<objects::View>(objects::View::open(name, offset, size, objects::Access::PRIVATE));
  auto bytes = view->bytes();
  return memoryBuffer(kj::mv(view), bytes);
}

}  // namespace

void bindSharedBuffers(nb::module_& m) {
  nb::class_<SharedBuffers>(m, "SharedBuffers", "Keeps buffers in shared memory. Their name goes when this does.");
  m.def("share_buffers", &shareBuffers);
  m.def("map_buffer", &mapBuffer);
}

}  // namespace epochly::ext
