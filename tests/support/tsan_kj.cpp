// Tells ThreadSanitizer what kj's mutex orders. Debian's libkj is not instrumented and locks with a raw futex, so TSan would
// report every object behind a kj::MutexGuarded as a race. Built only with EPOCHLY_SANITIZE=thread, as a shared library that
// every target links first: its definitions stand before libkj's and call them.
//
// Happens-before edges rather than TSan's mutex calls: libkj hands a lock from thread to thread inside unlock(), which looks
// like an unlock by the wrong thread.
#include <dlfcn.h>
#include <kj/mutex.h>
#include <sanitizer/tsan_interface.h>

namespace kj {
namespace _ {

namespace {

using LockFn = bool (*)(Mutex*, Mutex::Exclusivity, Maybe<Duration>, LockSourceLocationArg);
using UnlockFn = void (*)(Mutex*, Mutex::Exclusivity, void*);
using WaitFn = void (*)(Mutex*, Mutex::Predicate&, Maybe<Duration>, LockSourceLocationArg);

template <typename Fn>
Fn libkj(const char* symbol) {
  return reinterpret_cast<Fn>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

bool Mutex::lock(Exclusivity exclusivity, Maybe<Duration> timeout, LockSourceLocationArg location) {
  static const auto real = libkj<LockFn>(
      "_ZN2kj1_5Mutex4lockENS1_11ExclusivityENS_5MaybeINS_8QuantityIlNS0_15NanosecondLabelEEEEENS_18NoopSourceLocationE");
  bool locked = real(this, exclusivity, timeout, location);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::unlock(Exclusivity exclusivity, Waiter* waiterToSkip) {
  static const auto real = libkj<UnlockFn>("_ZN2kj1_5Mutex6unlockENS1_11ExclusivityEPNS1_6WaiterE");
  __tsan_release(this);
  real(this, exclusivity, waiterToSkip);
}

void Mutex::wait(Predicate& predicate, Maybe<Duration> timeout, LockSourceLocationArg location) {
  static const auto real = libkj<WaitFn>(
      "_ZN2kj1_5Mutex4waitERNS1_9PredicateENS_5MaybeINS_8QuantityIlNS0_15NanosecondLabelEEEEENS_18NoopSourceLocationE");
  __tsan_release(this);
  real(this, predicate, timeout, location);
  __tsan_acquire(this);
}

}  // namespace _
}  // namespace kj
