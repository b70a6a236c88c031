#include "ext/client_regions.h"

#include <atomic>

#include <kj/array.h>

#include "objects/object.h"

namespace epochly::client {

namespace {

std::atomic<uint> mappedRegions{0};

class MappedRegion final : public Region {
 public:
  explicit MappedRegion(objects::View view) : view(kj::mv(view)) { mappedRegions++; }
  ~MappedRegion() { mappedRegions--; }
  kj::ArrayPtr<byte> bytes() override { return view.bytes(); }

 private:
  objects::View view;
};

class CopiedRegion final : public Region {
 public:
  explicit CopiedRegion(kj::ArrayPtr<const byte> from) : copy(kj::heapArray<byte>(from)) {}
  kj::ArrayPtr<byte> bytes() override { return copy; }

 private:
  kj::Array<byte> copy;
};

}  // namespace

std::shared_ptr<Region> SharedMemoryOpener::open(const SharedBuffer& buffer) {
  using objects::Access;
  bool room = mapped() < mappedMax;
  auto view = objects::View::open(buffer.name, buffer.offset, buffer.size, room ? Access::PRIVATE : Access::READ_ONLY);
  if (room) return std::make_shared<MappedRegion>(kj::mv(view));
  return std::make_shared<CopiedRegion>(view.bytes());
}

void SharedMemoryOpener::unlink(const SharedBuffer& buffer) { objects::unlink(buffer.name); }

uint SharedMemoryOpener::mapped() { return mappedRegions.load(); }

}  // namespace epochly::client
