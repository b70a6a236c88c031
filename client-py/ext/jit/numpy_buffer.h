// numpy's buffer: how many elements its loops take at a time, which decides the order of some sums. numpy.setbufsize() sets it for
// one thread (numpy 1) or one context (numpy 2).
#pragma once

namespace epochly::ext::jit {

// Whether numpy.getbufsize() is, here and now, what compiled code relies on. False too where numpy does not say. Needs the GIL and
// numpy in sys.modules; leaves no exception set.
bool hasUsualNumpyBuffer();

}  // namespace epochly::ext::jit
