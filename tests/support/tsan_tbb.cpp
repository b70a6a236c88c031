// Tells ThreadSanitizer what oneTBB's memory orders. Debian's libtbb is not instrumented and hands the memory of tasks from thread to
// thread, so TSan would report every task that is made where another was. As tsan_kj.cpp: built only with EPOCHLY_SANITIZE=thread, its
// definitions stand before libtbb's and call them. What tasks do is ordered by this project's own locks, which are looked at.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstddef>

namespace tbb::detail {

namespace d1 {
class small_object_pool;
struct execution_data;
}  // namespace d1

namespace r1 {

namespace {

template <typename Fn>
Fn libtbb(const char* symbol) {
  return reinterpret_cast<Fn>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

void* allocate(d1::small_object_pool*& pool, size_t bytes) {
  static const auto real =
      libtbb<void* (*)(d1::small_object_pool*&, size_t)>("_ZN3tbb6detail2r18allocateERPNS0_2d117small_object_poolEm");
  auto* made = real(pool, bytes);
  __tsan_acquire(made);
  return made;
}

void deallocate(d1::small_object_pool& pool, void* memory, size_t bytes, const d1::execution_data& data) {
  static const auto real = libtbb<void (*)(d1::small_object_pool&, void*, size_t, const d1::execution_data&)>(
      "_ZN3tbb6detail2r110deallocateERNS0_2d117small_object_poolEPvmRKNS2_14execution_dataE");
  __tsan_release(memory);
  real(pool, memory, bytes, data);
}

void deallocate(d1::small_object_pool& pool, void* memory, size_t bytes) {
  static const auto real = libtbb<void (*)(d1::small_object_pool&, void*, size_t)>(
      "_ZN3tbb6detail2r110deallocateERNS0_2d117small_object_poolEPvm");
  __tsan_release(memory);
  real(pool, memory, bytes);
}

}  // namespace r1
}  // namespace tbb::detail
