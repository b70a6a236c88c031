// The scheduler's answers to a client's questions, as Python values.
#pragma once

#include <nanobind/nanobind.h>

#include <capnp/common.h>
#include <kj/array.h>

namespace epochly::ext {

namespace nb = nanobind;

// Each takes the flattened results of the method of its name. Figures that were not measured are None.
nb::list workersFrom(kj::ArrayPtr<const capnp::word> words);
nb::list functionsFrom(kj::ArrayPtr<const capnp::word> words);
nb::dict totalsFrom(kj::ArrayPtr<const capnp::word> words);
nb::str explanationFrom(kj::ArrayPtr<const capnp::word> words);

}  // namespace epochly::ext
