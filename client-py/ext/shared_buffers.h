// Buffers that several tasks share: put into shared memory once, mapped by name wherever a task of this host runs.
#pragma once

#include <nanobind/nanobind.h>

namespace epochly::ext {

void bindSharedBuffers(nanobind::module_& m);

}  // namespace epochly::ext
