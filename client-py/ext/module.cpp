// epochly._native: one module, a bind function per part.
#include "ext/bindings.h"

NB_MODULE(_native, m) {
  m.attr("__version__") = EPOCHLY_VERSION;
  epochly::ext::bindLocal(m);
  epochly::ext::bindClient(m);
  epochly::ext::bindExecutor(m);
}
