#include "probe/machine.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/debug.h>
#include <unistd.h>

namespace epochly::probe {
namespace {

using testing::HasSubstr;

// A tree that stands for a machine's root.
struct Tree {
  std::string root;

  Tree() {
    char name[] = "/tmp/epochly-probe-XXXXXX";
    KJ_REQUIRE(mkdtemp(name) != nullptr);
    root = name;
  }
  ~Tree() { std::filesystem::remove_all(root); }

  Tree& file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
    return *this;
  }
  Machine probe(kj::Maybe<uint> affinity = nullptr) const { return probeMachine({Files(root.c_str()), affinity}); }
};

struct Told {
  Fact::Kind kind = Fact::Kind::UNKNOWN;
  std::string text = "nothing was said of it";
};
Told told(const Machine& machine, kj::StringPtr name) {
  for (auto& fact : machine.facts) {
    if (fact.name == name) return {fact.kind, fact.text.cStr()};
  }
  return {};
}
void expectKnown(const Machine& machine, kj::StringPtr name, const std::string& text) {
  EXPECT_EQ(told(machine, name).kind, Fact::Kind::KNOWN) << name.cStr();
  EXPECT_EQ(told(machine, name).text, text);
}
void expectAbsent(const Machine& machine, kj::StringPtr name, const std::string& how) {
  EXPECT_EQ(told(machine, name).kind, Fact::Kind::ABSENT) << name.cStr();
  EXPECT_THAT(told(machine, name).text, HasSubstr(how));
}
void expectUnknown(const Machine& machine, kj::StringPtr name, const std::string& why) {
  EXPECT_EQ(told(machine, name).kind, Fact::Kind::UNKNOWN) << name.cStr();
  EXPECT_THAT(told(machine, name).text, HasSubstr(why));
}

constexpr const char* CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7B13\n";
constexpr const char* MEMINFO = "MemTotal:       16316412 kB\nMemFree:         1000 kB\n";

TEST(Probe, ReadsAPlainMachine) {
  Tree tree;
  tree.file("/proc/sys/kernel/hostname", "box-1\n").file("/proc/cpuinfo", CPUINFO).file("/proc/meminfo", MEMINFO);
  auto machine = tree.probe(8);
  EXPECT_STREQ(machine.hostName.cStr(), "box-1");
  EXPECT_EQ(machine.cores, 8u);
  EXPECT_EQ(machine.memoryBytes, 16316412ull * 1024);
  expectKnown(machine, "host.name", "box-1");
  expectKnown(machine, "cpu.model", "AMD EPYC 7B13");
  expectKnown(machine, "cpu.affinity_cores", "8");
  expectKnown(machine, "memory.total_bytes", "16708005888");
  expectAbsent(machine, "cgroup.version", "/sys/fs/cgroup");
  expectAbsent(machine, "memory.limit_bytes", "/sys/fs/cgroup");
}

TEST(Probe, SaysWhatItCouldNotFindOut) {
  Tree tree;
  auto machine = tree.probe();
  EXPECT_STREQ(machine.hostName.cStr(), "unknown");
  EXPECT_EQ(machine.cores, 0u) << "0 = unknown";
  EXPECT_EQ(machine.memoryBytes, 0u) << "0 = unknown";
  expectUnknown(machine, "host.name", "cannot be read");
  expectUnknown(machine, "cpu.model", "cannot be read");
  expectUnknown(machine, "cpu.affinity_cores", "sched_getaffinity");
  expectUnknown(machine, "memory.total_bytes", "cannot be read");
}

TEST(Probe, KnowsThatSomeArchitecturesDoNotNameTheirCpu) {
  Tree tree;
  tree.file("/proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
  expectUnknown(tree.probe(), "cpu.model", "on this architecture");
}

TEST(Probe, AppliesCgroup2LimitsOfAnyLevelOnTheWayToTheRoot) {
  Tree tree;
  tree.file("/proc/self/cgroup", "0::/app.slice/job\n")
      .file("/proc/meminfo", MEMINFO)
      .file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
      .file("/sys/fs/cgroup/app.slice/cpu.max", "250000 100000\n")
      .file("/sys/fs/cgroup/app.slice/memory.max", "4294967296\n")
      .file("/sys/fs/cgroup/app.slice/job/cpu.max", "max 100000\n")
      .file("/sys/fs/cgroup/app.slice/job/memory.max", "max\n");
  auto machine = tree.probe(16);
  expectKnown(machine, "cgroup.version", "2");
  expectKnown(machine, "cpu.quota_cores", "2.5");
  EXPECT_EQ(machine.cores, 3u) << "rounded up";
  expectKnown(machine, "memory.limit_bytes", "4294967296");
  EXPECT_EQ(machine.memoryBytes, 4294967296ull);
}

TEST(Probe, ReadsTheRootOfTheMountWhenAContainerSeesAPathOfItsHost) {
  Tree tree;
  tree.file("/proc/self/cgroup", "0::/kubepods/pod1234/abcd\n")
      .file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
      .file("/sys/fs/cgroup/cpu.max", "100000 100000\n")
      .file("/sys/fs/cgroup/memory.max", "1073741824\n");
  auto machine = tree.probe(16);
  EXPECT_EQ(machine.cores, 1u);
  EXPECT_EQ(machine.memoryBytes, 1073741824ull);
}

TEST(Probe, AppliesCgroup1Limits) {
  Tree tree;
  tree.file("/proc/self/cgroup", "8:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n")
      .file("/proc/meminfo", MEMINFO)
      .file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "400000\n")
      .file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n")
      .file("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2147483648\n")
      .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  auto machine = tree.probe(16);
  expectKnown(machine, "cgroup.version", "1");
  EXPECT_EQ(machine.cores, 4u);
  EXPECT_EQ(machine.memoryBytes, 2147483648ull);
}

TEST(Probe, TakesNoQuotaForNoQuota) {
  Tree tree;
  tree.file("/proc/self/cgroup", "4:cpu:/\n8:memory:/\n")
      .file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
      .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
      .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  auto machine = tree.probe(2);
  EXPECT_EQ(machine.cores, 2u);
  expectAbsent(machine, "cpu.quota_cores", "no control group");
  expectAbsent(machine, "memory.limit_bytes", "no control group");
}

TEST(Probe, NeverOffersLessThanOneCore) {
  Tree tree;
  tree.file("/proc/self/cgroup", "0::/\n")
      .file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
      .file("/sys/fs/cgroup/cpu.max", "5000 100000\n");
  EXPECT_EQ(tree.probe(16).cores, 1u);
}

TEST(Probe, SurvivesNonsense) {
  Tree tree;
  tree.file("/proc/self/cgroup", "::::\n\nx\n0::no-slash\n")
      .file("/proc/meminfo", "MemTotal: lots kB\n")
      .file("/proc/cpuinfo", "model name")
      .file("/sys/fs/cgroup/cgroup.controllers", "")
      .file("/sys/fs/cgroup/cpu.max", "99999999999999999999 0\n")
      .file("/sys/fs/cgroup/memory.max", "-5\n");
  auto machine = tree.probe(2);
  EXPECT_EQ(machine.cores, 2u);
  EXPECT_EQ(machine.memoryBytes, 0u);
  expectUnknown(machine, "memory.total_bytes", "no MemTotal");
}

TEST(Probe, KnowsThatThereIsNoGpuAndHow) {
  Tree tree;
  expectAbsent(tree.probe(), "gpu", "no device /dev/nvidia0 and no driver library libcuda.so.1");
}

TEST(Probe, FindsAGpuWithItsDriver) {
  Tree tree;
  tree.file("/dev/nvidia0", "").file("/dev/nvidia1", "").file("/dev/nvidiactl", "").file("/dev/nvidia-uvm", "");
  expectUnknown(tree.probe(), "gpu", "no driver library libcuda.so.1");
  tree.file("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "");
  expectKnown(tree.probe(), "gpu", "/dev/nvidia0, /dev/nvidia1; driver library /usr/lib/x86_64-linux-gnu/libcuda.so.1");
}

TEST(Probe, KnowsThatADriverWithoutADeviceIsNoGpu) {
  Tree tree;
  tree.file("/usr/lib64/libcuda.so.1", "").file("/dev/nvidiactl", "");
  expectAbsent(tree.probe(), "gpu", "no device /dev/nvidia0");
}

TEST(Probe, FindsThisMachinesCoresAndName) {
  auto machine = probeMachine(Sources());
  EXPECT_GE(machine.cores, 1u);
  EXPECT_LE(machine.cores, static_cast<uint>(sysconf(_SC_NPROCESSORS_CONF)));
  EXPECT_GT(machine.memoryBytes, 0u);
  char name[256];
  gethostname(name, sizeof(name));
  EXPECT_STREQ(machine.hostName.cStr(), name);
}

}  // namespace
}  // namespace epochly::probe
