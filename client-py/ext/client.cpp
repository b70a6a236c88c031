#include "ext/bindings.h"

namespace epochly::ext {

void bindClient(nanobind::module_& m) {}

}  // namespace epochly::ext
