// The types that values of a compiled program can have, and how each lies in 64-bit leaves.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace epochly::program {

// What a leaf is in a register. In memory every leaf takes 8 bytes.
enum class Prim : uint8_t { B, I, F, P };  // bool, int64, double, pointer

enum class DType : uint8_t { BOOL, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, C64, C128 };
constexpr size_t DTYPES = static_cast<size_t>(DType::C128) + 1;
uint32_t bytesOf(DType dtype);
const char* nameOf(DType dtype);
constexpr bool isReal(DType dtype) { return dtype == DType::F32 || dtype == DType::F64; }
constexpr bool isUnsigned(DType dtype) { return dtype >= DType::U8 && dtype <= DType::U64; }
constexpr bool isComplex(DType dtype) { return dtype >= DType::C64; }
// Of the two parts of a complex number.
constexpr DType partOf(DType dtype) { return dtype == DType::C64 ? DType::F32 : DType::F64; }

enum class Kind : uint8_t {
  NEVER,    // no value: the bottom of the lattice
  UNBOUND,  // a variable that has not been assigned
  NONE,
  BOOL,
  INT,  // a Python int that fits 64 bits; a guard keeps it so
  FLOAT,
  COMPLEX,  // real part, imaginary part
  STR,
  BYTES,   // a number that stands for the text: see Unit::texts
  SCALAR,  // a numpy scalar of `dtype`, which is another type than int or float, with other rules
  RANGE,   // start, stop, step
  TUPLE,   // its elements' leaves, one after the other
  LIST,    // one pointer; the element type belongs to the `site`
  ARRAY,   // data pointer, shape, strides (bytes); `site` says whose memory it is
  REF,     // something known while compiling: a module, a function. No leaves
  UNION,   // a tag (Kind and position among the members) and the leaves of the widest member as integers
};

// Index into Types. Equal types have equal indices.
using Type = uint32_t;

struct TypeData {
  Kind kind;
  DType dtype = DType::F64;
  uint32_t dims = 0;        // ARRAY
  uint32_t ref = 0;         // LIST, ARRAY: site. REF: index of a Binding
  std::vector<Type> parts;  // TUPLE, UNION

  auto operator<=>(const TypeData&) const = default;
};

// Where lists or arrays come from: a place in the source that makes them, or a parameter. All of one site have one element type.
// Sites live as long as the compilation and only ever widen, so elaboration ends.
struct Site {
  Type element = 0;      // LIST
  bool written = false;  // some statement stores into it
  bool resized = false;
  bool parameter = false;  // the caller sees it
  bool escapes = false;    // LIST: may be the result, or an element of another list
};

// A union of more members than this makes every operation a switch of many cases: then CPython does it better.
constexpr size_t UNION_MEMBERS_MAX = 4;

// The table of types of one compilation. Not thread-safe.
class Types {
 public:
  Types();
  static constexpr Type NEVER = 0, UNBOUND = 1, NONE = 2, BOOL = 3, INT = 4, FLOAT = 5, COMPLEX = 6, RANGE = 7, STR = 8,
                        BYTES = 9;

  Type scalar(DType dtype) { return intern({.kind = Kind::SCALAR, .dtype = dtype}); }
  Type tuple(std::vector<Type> parts) { return intern({.kind = Kind::TUPLE, .parts = std::move(parts)}); }
  Type list(uint32_t site) { return intern({.kind = Kind::LIST, .ref = find(site)}); }
  Type array(DType dtype, uint32_t dims, uint32_t site) {
    return intern({.kind = Kind::ARRAY, .dtype = dtype, .dims = dims, .ref = find(site)});
  }
  Type ref(uint32_t binding) { return intern({.kind = Kind::REF, .ref = binding}); }

  const TypeData& operator[](Type type) const { return table[type]; }
  Kind kind(Type type) const { return table[type].kind; }
  bool is(Type type, Kind kind) const { return table[type].kind == kind; }
  bool isScalar(Type type, DType dtype) const { return is(type, Kind::SCALAR) && table[type].dtype == dtype; }
  // The members of a union, or the type itself.
  std::vector<Type> members(Type type) const;
  bool has(Type type, Type member) const;
  Type unionOf(const std::vector<Type>& types);
  // The smallest type that holds both. Lists and arrays of two sites become one site: then `merged` is set and everything that was
  // elaborated before is stale.
  Type join(Type a, Type b);
  bool isFamily(Type a, Type b) const;

  // How `type` lies in leaves.
  const std::vector<Prim>& leaves(Type type);
  // Position of `member` in the union; its tag.
  int64_t tag(Type unionType, Type member) const;

  uint32_t site(uint64_t key);  // the site of that key, made at first sight
  Site& operator()(uint32_t site) { return sites[find(site)]; }
  // Widens the element type of a list's site.
  void widen(uint32_t site, Type element);
  bool changed = false;  // a site was widened, written or merged since this was last cleared
  void mark(uint32_t site, bool Site::*flag);

  std::string show(Type type);

 private:
  std::deque<TypeData> table;  // references stay valid while types are added
  std::map<TypeData, Type> index;
  std::map<Type, std::vector<Prim>> leafTable;
  std::deque<Site> sites;
  std::vector<uint32_t> parents;  // union-find over sites
  std::map<uint64_t, uint32_t> siteIndex;

  Type intern(TypeData data);
  uint32_t find(uint32_t site);
  uint32_t merge(uint32_t a, uint32_t b);
};

}  // namespace epochly::program
