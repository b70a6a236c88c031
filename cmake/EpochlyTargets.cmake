# How every target of this project is declared, so that warnings, sanitizers and link tests are the same everywhere.
include_guard()
find_package(Threads REQUIRED)

add_library(epochly_options INTERFACE)
target_compile_options(epochly_options INTERFACE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
target_link_libraries(epochly_options INTERFACE Threads::Threads)
if(EPOCHLY_SANITIZE)
  target_compile_options(epochly_options INTERFACE -fsanitize=${EPOCHLY_SANITIZE} -fno-omit-frame-pointer
                                                   -fno-sanitize-recover=undefined)
  target_link_options(epochly_options INTERFACE -fsanitize=${EPOCHLY_SANITIZE})
endif()
if(EPOCHLY_SANITIZE STREQUAL thread)
  add_library(epochly_tsan_kj SHARED ${CMAKE_SOURCE_DIR}/tests/support/tsan_kj.cpp
                                     ${CMAKE_SOURCE_DIR}/tests/support/tsan_tbb.cpp)
  target_link_libraries(epochly_tsan_kj PRIVATE epochly_options ${CMAKE_DL_LIBS})
  # First on every link line, or the own definitions of libkj and libtbb would be found before these.
  link_libraries(-Wl,--push-state,--no-as-needed $<TARGET_FILE:epochly_tsan_kj> -Wl,--pop-state)
  add_link_options(-Wl,-rpath,${CMAKE_BINARY_DIR})
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# epochly_library(NAME ROOT sources...): library epochly_NAME, alias epochly::NAME; its includes are written from ROOT
# ("core/task.h" from scheduler/). Link what it needs with target_link_libraries.
function(epochly_library name root)
  add_library(epochly_${name} STATIC ${ARGN})
  add_library(epochly::${name} ALIAS epochly_${name})
  target_include_directories(epochly_${name} PUBLIC ${root})
  target_link_libraries(epochly_${name} PRIVATE epochly_options)
endfunction()

# An executable that links one library alone, whole: fails at build time if the library uses what it does not declare.
function(add_link_test target)
  if(NOT EPOCHLY_TESTS)
    return()
  endif()
  string(REPLACE "::" "_" name ${target})
  file(WRITE ${CMAKE_BINARY_DIR}/link_tests/${name}.cpp "int main() { return 0; }\n")
  add_executable(link_${name} ${CMAKE_BINARY_DIR}/link_tests/${name}.cpp)
  get_target_property(real ${target} ALIASED_TARGET)
  if(NOT real)
    set(real ${target})
  endif()
  target_link_libraries(link_${name} PRIVATE -Wl,--whole-archive $<TARGET_FILE:${real}> -Wl,--no-whole-archive ${target}
                                             epochly_options)
  add_dependencies(link_${name} ${real})
  add_test(NAME link.${name} COMMAND link_${name})
endfunction()

# epochly_test(NAME sources...): a GoogleTest program, every TEST a ctest of its own.
function(epochly_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE GTest::gtest GTest::gmock GTest::gtest_main epochly_options)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  gtest_discover_tests(${name} PROPERTIES TIMEOUT 120 DISCOVERY_TIMEOUT 60)
endfunction()
