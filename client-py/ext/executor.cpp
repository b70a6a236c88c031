#include "ext/bindings.h"

namespace epochly::ext {

void bindExecutor(nanobind::module_& m) {}

}  // namespace epochly::ext
