#include "ext/bindings.h"

namespace epochly::ext {

void bindLocal(nanobind::module_& m) {}

}  // namespace epochly::ext
