// Where results in shared memory go when they arrive.
#pragma once

#include <memory>

#include "ext/client_inbox.h"

namespace epochly::client {

// Mappings of results that this process holds at once; every result that somebody keeps is one, whoever asked for its value. A
// quarter of what Linux allows a process by default (vm.max_map_count, 65530): the rest is the program's own.
constexpr uint MAPPED_REGIONS_MAX = 16 * 1024;

// Results are mapped as they arrive, whether or not anybody has asked for them, so that they depend on no name: what a worker
// sweeps, or a scheduler forgets, is not needed any more. Past `mappedMax` they are copied into the heap instead, which has
// room for as many as memory does. No descriptor is kept either way. Used on one thread; the regions die on any.
class SharedMemoryOpener final : public RegionOpener {
 public:
  explicit SharedMemoryOpener(uint mappedMax = MAPPED_REGIONS_MAX) : mappedMax(mappedMax) {}
  std::shared_ptr<Region> open(const SharedBuffer& buffer) override;
  void unlink(const SharedBuffer& buffer) override;

  // Of all openers of this process.
  static uint mapped();

 private:
  const uint mappedMax;
};

}  // namespace epochly::client
