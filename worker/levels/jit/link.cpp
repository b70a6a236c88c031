// A linker for what LLVM makes of one unit: a few sections that refer to each other and to the runtime.
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "levels/jit/code.h"
#include "levels/program/decline.h"

namespace epochly::jit {

namespace {

using program::Declined;

// A unit has at most 200,000 instructions of typed code; this is a hundred times what the largest kernel makes.
constexpr size_t IMAGE_BYTES_MAX = size_t(64) << 20;

[[noreturn]] void refuse(const std::string& what) { throw Declined(0, "machine code cannot be loaded: " + what); }

// Pages that are written, then executed, never both.
class Image : public Code {
 public:
  explicit Image(size_t size) : size(size) {
    auto* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) refuse("no memory");
    base = static_cast<char*>(pages);
  }
  ~Image() override { munmap(base, size); }
  void seal(size_t entryAt) {
    if (mprotect(base, size, PROT_READ | PROT_EXEC) != 0) refuse("this system allows no new machine code");
    entry = reinterpret_cast<decltype(entry)>(base + entryAt);
  }
  char* base = nullptr;
  const size_t size;
};

// jmp *[rip]; the address follows: a function of the runtime may be farther away than a call reaches.
struct Stub {
  unsigned char jump[8] = {0xff, 0x25, 0x02, 0, 0, 0, 0x0f, 0x0b};
  uint64_t address = 0;
};
static_assert(sizeof(Stub) == 16 && offsetof(Stub, address) == 8);

uint64_t runtimeAddress(const std::string& name) {
  static const auto& known = *[] {
    auto* all = new std::unordered_map<std::string, void*>;
    for (auto& symbol : runtimeSymbols()) all->emplace(symbol.name, symbol.address);
    return all;
  }();
  auto found = known.find(name);
  // What LLVM calls of its own accord, memcpy and fma for one, is in the process.
  auto* address = found != known.end() ? found->second : dlsym(RTLD_DEFAULT, name.c_str());
  if (!address) refuse("it calls " + name);
  return reinterpret_cast<uint64_t>(address);
}

// Reads with every offset checked: the object may come from a file that somebody broke.
class Linker {
 public:
  explicit Linker(std::string_view object) : object(object) {}

  std::shared_ptr<Code> run() {
    readSections();
    layOut();
    image = std::make_shared<Image>(total);
    for (size_t i = 0; i < sections.size(); i++) {
      if (places[i] != ABSENT && sections[i].sh_type != SHT_NOBITS)
        std::memcpy(image->base + places[i], bytes(sections[i].sh_offset, sections[i].sh_size), sections[i].sh_size);
    }
    for (auto& section : sections) {
      if (section.sh_type == SHT_RELA && section.sh_info < sections.size() && places[section.sh_info] != ABSENT)
        relocate(section);
    }
    if (!stubs.empty()) std::memcpy(image->base + stubsAt, stubs.data(), stubs.size() * sizeof(Stub));
    image->seal(entryAt());
    return image;
  }

 private:
  static constexpr size_t ABSENT = ~size_t(0);
  const std::string_view object;
  std::vector<Elf64_Shdr> sections;
  std::vector<Elf64_Sym> symbols;
  const Elf64_Shdr* names = nullptr;  // of the symbols
  std::vector<size_t> places;         // of sections in the image
  size_t stubsAt = 0, total = 0;
  std::unordered_map<std::string, size_t> stubIndex;
  std::vector<Stub> stubs;
  std::shared_ptr<Image> image;

  const char* bytes(uint64_t offset, uint64_t size) const {
    if (offset > object.size() || size > object.size() - offset) refuse("the object file is cut off");
    return object.data() + offset;
  }
  template <typename T>
  std::vector<T> table(uint64_t offset, uint64_t size) const {
    auto* from = bytes(offset, size);
    std::vector<T> result(size / sizeof(T));
    if (!result.empty()) std::memcpy(result.data(), from, result.size() * sizeof(T));
    return result;
  }

  void readSections() {
    Elf64_Ehdr header;
    std::memcpy(&header, bytes(0, sizeof header), sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_REL || header.e_machine != EM_X86_64)
      refuse("only x86-64 is known");
    sections = table<Elf64_Shdr>(header.e_shoff, uint64_t(header.e_shnum) * sizeof(Elf64_Shdr));
    for (auto& section : sections) {
      if (section.sh_type != SHT_SYMTAB) continue;
      symbols = table<Elf64_Sym>(section.sh_offset, section.sh_size);
      if (section.sh_link >= sections.size()) refuse("the object file is broken");
      names = &sections[section.sh_link];
    }
    if (!names) refuse("the object file has no symbols");
  }

  void layOut() {
    places.assign(sections.size(), ABSENT);
    for (size_t i = 0; i < sections.size(); i++) {
      auto& section = sections[i];
      // Nothing unwinds through this code.
      if (!(section.sh_flags & SHF_ALLOC) || section.sh_type == SHT_X86_64_UNWIND || nameIs(section, ".eh_frame")) continue;
      if (section.sh_flags & SHF_WRITE && section.sh_size) refuse("it has variables");
      auto alignment = section.sh_addralign ? section.sh_addralign : 1;
      if (alignment & (alignment - 1) || alignment > 4096 || section.sh_size > IMAGE_BYTES_MAX) refuse("a section's size");
      total = (total + alignment - 1) & ~(alignment - 1);
      places[i] = total;
      total += section.sh_size;
      if (total > IMAGE_BYTES_MAX) refuse("it is too large");
    }
    stubsAt = (total + 15) & ~size_t(15);
    // A stub for each symbol that is elsewhere, at most.
    total = stubsAt + symbols.size() * sizeof(Stub);
  }
  bool nameIs(const Elf64_Shdr& section, std::string_view name) const {
    Elf64_Ehdr header;
    std::memcpy(&header, bytes(0, sizeof header), sizeof header);
    if (header.e_shstrndx >= sections.size()) return false;
    return std::string_view(text(sections[header.e_shstrndx], section.sh_name)) == name;
  }
  std::string text(const Elf64_Shdr& strings, uint32_t at) const {
    if (at >= strings.sh_size) refuse("the object file is broken");
    auto* start = bytes(strings.sh_offset + at, strings.sh_size - at);
    return std::string(start, strnlen(start, strings.sh_size - at));
  }

  size_t stubFor(const Elf64_Sym& symbol) {
    auto name = text(*names, symbol.st_name);
    auto [entry, isNew] = stubIndex.try_emplace(name, stubs.size());
    if (isNew) {
      stubs.emplace_back();
      stubs.back().address = runtimeAddress(name);
    }
    return stubsAt + entry->second * sizeof(Stub);
  }
  // Place of a symbol in the image; of its stub if it is elsewhere.
  size_t placeOf(const Elf64_Sym& symbol) {
    if (symbol.st_shndx == SHN_UNDEF) return stubFor(symbol);
    if (symbol.st_shndx >= sections.size() || places[symbol.st_shndx] == ABSENT ||
        symbol.st_value > sections[symbol.st_shndx].sh_size)
      refuse("a symbol that is nowhere");
    return places[symbol.st_shndx] + symbol.st_value;
  }

  void relocate(const Elf64_Shdr& section) {
    auto at = places[section.sh_info];
    auto size = sections[section.sh_info].sh_size;
    for (auto& one : table<Elf64_Rela>(section.sh_offset, section.sh_size)) {
      auto index = ELF64_R_SYM(one.r_info);
      if (index >= symbols.size()) refuse("the object file is broken");
      auto& symbol = symbols[index];
      auto type = ELF64_R_TYPE(one.r_info);
      size_t width = type == R_X86_64_64 ? 8 : 4;
      if (one.r_offset > size || width > size - one.r_offset) refuse("the object file is broken");
      auto where = at + one.r_offset;
      switch (type) {
        case R_X86_64_64: put(where, reinterpret_cast<uint64_t>(image->base) + placeOf(symbol) + one.r_addend); break;
        case R_X86_64_PC32:
        case R_X86_64_PLT32: putDistance(where, placeOf(symbol) + one.r_addend); break;
        case R_X86_64_GOTPCREL:
        case R_X86_64_GOTPCRELX:
        case R_X86_64_REX_GOTPCRELX:
          if (symbol.st_shndx != SHN_UNDEF) refuse("a table entry for its own symbol");
          putDistance(where, stubFor(symbol) + offsetof(Stub, address) + one.r_addend);
          break;
        default: refuse("relocation " + std::to_string(type));
      }
    }
  }
  void put(size_t where, uint64_t value) { std::memcpy(image->base + where, &value, sizeof value); }
  void putDistance(size_t where, size_t target) {
    auto distance = static_cast<int32_t>(static_cast<int64_t>(target) - static_cast<int64_t>(where));
    std::memcpy(image->base + where, &distance, sizeof distance);
  }

  size_t entryAt() {
    for (auto& symbol : symbols) {
      if (symbol.st_shndx != SHN_UNDEF && text(*names, symbol.st_name) == ENTRY_NAME) return placeOf(symbol);
    }
    refuse("it has no entry");
  }
};

}  // namespace

std::shared_ptr<Code> link(std::string_view object) { return Linker(object).run(); }

}  // namespace epochly::jit
