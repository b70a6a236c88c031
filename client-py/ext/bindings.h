// The parts of epochly._native. Each is defined in the file of its name.
#pragma once

#include <nanobind/nanobind.h>

namespace epochly::ext {

void bindLocal(nanobind::module_& m);     // decorated calls, monitoring, loop counting: ext/local.cpp
void bindClient(nanobind::module_& m);    // the cluster client: ext/client.cpp
void bindExecutor(nanobind::module_& m);  // the executor's end of the rings: ext/executor.cpp

}  // namespace epochly::ext
