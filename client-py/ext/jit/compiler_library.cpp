#include "ext/jit/compiler_library.h"

#include "levels/jit/compiler.h"

extern "C" __attribute__((visibility("default"))) const epochly::ext::jit::CompilerLibrary epochly_jit_compiler;

const epochly::ext::jit::CompilerLibrary epochly_jit_compiler = {epochly::jit::compileObject, epochly::jit::intermediate,
                                                                 epochly::jit::assembly};
