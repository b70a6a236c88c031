#include "levels/jit/cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "levels/jit/compiler.h"
#include "levels/program/decline.h"
#include "levels/program/elaborator.h"
#include "support/program_text.h"

namespace epochly::jit {
namespace {

namespace fs = std::filesystem;

class CacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "epochly-cache-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(folder); }

  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (auto& one : fs::directory_iterator(folder)) all.push_back(one.path());
    return all;
  }
  std::string folder;
};

void overwrite(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string objectOf(const std::string& text) {
  test::ProgramText program(text);
  auto unit = program::Elaborator(program, {}).run([](program::Types&) {
    return std::vector<program::Type>{program::Types::INT, program::Types::INT};
  });
  return compileObject(*unit, {});
}

TEST_F(CacheTest, FindsWhatWasStoredAndNothingElse) {
  Cache cache(folder, "maker");
  EXPECT_EQ(cache.find("key"), std::nullopt);
  cache.store("key", std::string("a\0b", 3));
  EXPECT_EQ(cache.find("key"), std::string("a\0b", 3));
  EXPECT_EQ(cache.find("other key"), std::nullopt);
  EXPECT_EQ(Cache(folder, "another maker").find("key"), std::nullopt);
  EXPECT_EQ(Cache(folder, "maker").find("key"), std::string("a\0b", 3));
}

TEST_F(CacheTest, AFileThatIsCutOffOrBrokenAnywhereIsAsIfItWereNotThereAndIsWrittenAnew) {
  Cache cache(folder, "maker");
  cache.store("key", "some machine code");
  auto path = files().at(0);
  auto whole = contents(path);
  for (size_t size = 0; size < whole.size(); size++) {
    overwrite(path, whole.substr(0, size));
    EXPECT_EQ(cache.find("key"), std::nullopt) << "cut off at " << size;
  }
  for (size_t at = 0; at < whole.size(); at++) {
    auto broken = whole;
    broken[at] ^= 0x10;
    overwrite(path, broken);
    EXPECT_EQ(cache.find("key"), std::nullopt) << "broken at " << at;
  }
  overwrite(path, whole + "x");
  EXPECT_EQ(cache.find("key"), std::nullopt);
  cache.store("key", "some machine code");
  EXPECT_EQ(cache.find("key"), "some machine code");
}

TEST_F(CacheTest, CodeThatSomebodyElseCouldHaveWrittenIsNotRun) {
  Cache cache(folder, "maker");
  cache.store("key", "code");
  auto path = files().at(0);
  ASSERT_EQ(chmod(path.c_str(), 0622), 0);
  EXPECT_EQ(cache.find("key"), std::nullopt);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(cache.find("key"), "code");
  ASSERT_EQ(chmod(folder.c_str(), 0777), 0);
  EXPECT_EQ(cache.find("key"), std::nullopt);
  ASSERT_EQ(chmod(folder.c_str(), 0700), 0);
  fs::rename(path, folder + "/elsewhere");
  fs::create_symlink(folder + "/elsewhere", path);
  EXPECT_EQ(cache.find("key"), std::nullopt);
}

TEST_F(CacheTest, WhatCannotBeWrittenIsNotWritten) {
  overwrite(folder + "/file", "");
  for (auto& place : {folder + "/file/below", std::string("/proc/epochly"), std::string()}) {
    Cache cache(place, "maker");
    cache.store("key", "code");
    EXPECT_EQ(cache.find("key"), std::nullopt) << place;
  }
  Cache deep(folder + "/a/b/c", "maker");
  deep.store("key", "code");
  EXPECT_EQ(deep.find("key"), "code");
  deep.store("large", std::string(CACHE_FILE_BYTES_MAX + 1, 'x'));
  EXPECT_EQ(deep.find("large"), std::nullopt);
}

TEST_F(CacheTest, PastItsBoundTheFilesUsedLongestAgoGo) {
  Cache cache(folder, "maker", 100'000);
  for (int i = 0; i < 20; i++) {
    cache.store(std::to_string(i), std::string(10'000, 'x'));
    // Times of the file system are coarser than this loop.
    for (auto& path : files()) {
      if (fs::last_write_time(path) > fs::file_time_type::clock::now() - std::chrono::hours(1))
        fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(100 - i));
    }
  }
  ASSERT_TRUE(cache.find("0"));  // used now
  cache.sweep();
  EXPECT_TRUE(cache.find("0"));
  EXPECT_TRUE(cache.find("19"));
  EXPECT_FALSE(cache.find("1"));
  uint64_t total = 0;
  for (auto& path : files()) total += fs::file_size(path);
  EXPECT_LE(total, 75'000u);
  EXPECT_GE(total, 60'000u);
}

TEST_F(CacheTest, StoringSweepsNowAndThen) {
  Cache cache(folder, "maker", 10'000);
  for (uint32_t i = 0; i < 3 * CACHE_STORES_BETWEEN_SWEEPS; i++) cache.store(std::to_string(i), std::string(1000, 'x'));
  EXPECT_LT(files().size(), CACHE_STORES_BETWEEN_SWEEPS + 20);
}

TEST_F(CacheTest, DraftsOfProcessesThatDiedAreRemovedOnceOld) {
  overwrite(folder + "/1-1.tmp", "new");
  overwrite(folder + "/1-2.tmp", "old");
  overwrite(folder + "/README", "somebody's");
  fs::last_write_time(folder + "/1-2.tmp", fs::file_time_type::clock::now() - std::chrono::hours(2));
  Cache(folder, "maker").sweep();
  EXPECT_TRUE(fs::exists(folder + "/1-1.tmp"));
  EXPECT_FALSE(fs::exists(folder + "/1-2.tmp"));
  EXPECT_TRUE(fs::exists(folder + "/README"));
}

TEST_F(CacheTest, ManyProcessesAtATimeSeeWholeFilesOrNone) {
  std::vector<pid_t> children;
  for (int child = 0; child < 4; child++) {
    auto pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      Cache cache(folder, "maker", 200'000);
      bool right = true;
      for (int i = 0; i < 300; i++) {
        auto key = std::to_string(i % 7);
        cache.store(key, std::string(20'000 + i % 7, static_cast<char>('a' + i % 7)));
        auto found = cache.find(key);
        right &= !found || *found == std::string(20'000 + i % 7, static_cast<char>('a' + i % 7));
        if (i % 50 == 0) cache.sweep();
      }
      _exit(right ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (auto pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
}

TEST(Link, AnObjectThatIsCutOffIsRefused) {
  auto object = objectOf("(def f (a b) (return (+ a b)))");
  EXPECT_NE(link(object)->entry, nullptr);
  for (size_t size = 0; size < object.size(); size += 1 + size / 64) {
    try {
      link(std::string_view(object).substr(0, size));
    } catch (program::Declined& declined) {
      EXPECT_NE(declined.reason.find("machine code cannot be loaded"), std::string::npos);
    }
  }
  EXPECT_THROW(link(std::string_view(object).substr(0, 40)), program::Declined);
  EXPECT_THROW(link(""), program::Declined);
}

TEST(Link, AnObjectThatIsBrokenIsRefusedOrLinkedButNeverReadPastItsEnd) {
  auto object = objectOf("(def f (a b) (return (** a b)))");
  std::mt19937 random(1);
  for (int i = 0; i < 3000; i++) {
    auto broken = object;
    for (int k = 0; k < 4; k++) broken[random() % broken.size()] = static_cast<char>(random());
    try {
      link(broken);  // not run
    } catch (program::Declined&) {
    }
  }
}

TEST(Fingerprint, DiffersWhereTheCodeDoes) {
  auto of = [](const std::string& text, const Options& options) {
    test::ProgramText program(text);
    auto unit = program::Elaborator(program, {}).run([](program::Types&) {
      return std::vector<program::Type>{program::Types::INT, program::Types::INT};
    });
    return fingerprint(*unit, options);
  };
  const std::string text = "(def f (a b) (return (+ a b)))";
  EXPECT_EQ(of(text, {}), of(text, {}));
  EXPECT_NE(of(text, {}), of("(def f (a b) (return (- a b)))", {}));
  EXPECT_NE(of(text, {}), of("(def f (a b) (return (+ b a)))", {}));
  EXPECT_NE(of("(def f (a b) (return (+ a 1)))", {}), of("(def f (a b) (return (+ a 2)))", {}));
  EXPECT_NE(of(text, {}), of(text, {.fastmath = true}));
  EXPECT_NE(of(text, {}), of(text, {.careful = true}));
  EXPECT_NE(of(text, {}), of(text, {.constants = {{0, 8}}}));
}

}  // namespace
}  // namespace epochly::jit
