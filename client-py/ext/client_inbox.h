// From a Results message to outcomes in the ledger.
#pragma once

#include "ext/client_ledger.h"
#include "scheduler.capnp.h"

namespace epochly::client {

// Maps the shared memory that a result arrived in and takes its name away. Called on the loop's thread.
class RegionOpener {
 public:
  virtual ~RegionOpener() = default;
  // Throws if it cannot be mapped.
  virtual std::shared_ptr<Region> open(const SharedBuffer& buffer) = 0;
  // Every buffer of this object has been opened.
  virtual void unlink(const SharedBuffer& buffer) = 0;
};

// Everything is copied out of the message: once the scheduler has its answer it forgets the values.
std::vector<Ledger::Arrival> readResults(schema::Results::Reader batch, RegionOpener& regions);

}  // namespace epochly::client
