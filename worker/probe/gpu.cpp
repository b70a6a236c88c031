// GPUs: found by their device nodes and the driver library, without loading it.
#include "probe/machine.h"

namespace epochly::probe {

namespace {

constexpr kj::StringPtr LIBRARY = "libcuda.so.1"_kj;
// Where the driver's installers put it on the distributions we know; a loader path set by hand is not searched.
constexpr kj::StringPtr LIBRARY_DIRECTORIES[] = {
    "/usr/lib/x86_64-linux-gnu"_kj,
    "/usr/lib/aarch64-linux-gnu"_kj,
    "/usr/lib64"_kj,
    "/usr/lib"_kj,
    "/usr/local/nvidia/lib64"_kj,
    "/usr/lib/wsl/lib"_kj,
    "/run/opengl-driver/lib"_kj,
};

kj::Maybe<kj::String> findLibrary(const Files& files) {
  for (auto directory : LIBRARY_DIRECTORIES) {
    auto path = kj::str(directory, '/', LIBRARY);
    if (files.exists(path)) return kj::mv(path);
  }
  return nullptr;
}

// nvidia0, nvidia1, ...; nvidiactl and nvidia-uvm are not devices. WSL has one node for all.
kj::Vector<kj::String> findDevices(const Files& files) {
  kj::Vector<kj::String> devices;
  for (auto& name : files.list("/dev")) {
    bool numbered = name.startsWith("nvidia") && name.size() > 6 && parseNumber(name.slice(6)) != nullptr;
    if (numbered || name == "dxg") devices.add(kj::str("/dev/", name));
  }
  return devices;
}

}  // namespace

void probeGpu(const Files& files, Facts& facts) {
  auto devices = findDevices(files);
  auto library = findLibrary(files);
  KJ_IF_MAYBE(path, library) {
    if (!devices.empty()) {
      facts.known("gpu", kj::str(kj::strArray(devices, ", "), "; driver library ", *path));
    } else {
      facts.absent("gpu", kj::str("there is a driver library, ", *path, ", but no device /dev/nvidia0"));
    }
  } else if (!devices.empty()) {
    facts.unknown("gpu", kj::str("there is ", kj::strArray(devices, ", "), " but no driver library ", LIBRARY, " to ask"));
  } else {
    facts.absent("gpu", kj::str("no device /dev/nvidia0 and no driver library ", LIBRARY));
  }
}

}  // namespace epochly::probe
