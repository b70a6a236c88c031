#include "levels/program/types.h"

#include <algorithm>

#include "levels/program/decline.h"

namespace epochly::program {

uint32_t bytesOf(DType dtype) {
  switch (dtype) {
    case DType::BOOL:
    case DType::I8:
    case DType::U8: return 1;
    case DType::I16:
    case DType::U16: return 2;
    case DType::I32:
    case DType::U32:
    case DType::F32: return 4;
    case DType::C128: return 16;
    default: return 8;
  }
}

const char* nameOf(DType dtype) {
  static const char* const NAMES[] = {"bool",   "int8",   "int16",   "int32",   "int64",     "uint8",     "uint16",
                                      "uint32", "uint64", "float32", "float64", "complex64", "complex128"};
  return NAMES[static_cast<int>(dtype)];
}

Types::Types() {
  for (auto kind : {Kind::NEVER, Kind::UNBOUND, Kind::NONE, Kind::BOOL, Kind::INT, Kind::FLOAT, Kind::COMPLEX, Kind::RANGE,
                    Kind::STR, Kind::BYTES}) {
    intern({.kind = kind});
  }
}

Type Types::intern(TypeData data) {
  auto [entry, isNew] = index.try_emplace(data, static_cast<Type>(table.size()));
  if (isNew) table.push_back(std::move(data));
  return entry->second;
}

std::vector<Type> Types::members(Type type) const {
  if (type == NEVER) return {};
  return is(type, Kind::UNION) ? table[type].parts : std::vector<Type>{type};
}

bool Types::has(Type type, Type member) const {
  auto all = members(type);
  return std::find(all.begin(), all.end(), member) != all.end();
}

Type Types::unionOf(const std::vector<Type>& types) {
  Type result = NEVER;
  for (auto type : types) result = join(result, type);
  return result;
}

// Whether join() makes one type of them that is no union.
bool Types::isFamily(Type a, Type b) const {
  auto &x = table[a], &y = table[b];
  if (x.kind != y.kind) return false;
  if (x.kind == Kind::ARRAY) return x.dtype == y.dtype && x.dims == y.dims;
  if (x.kind == Kind::TUPLE) return x.parts.size() == y.parts.size();
  return x.kind == Kind::LIST;
}

Type Types::join(Type a, Type b) {
  if (a == b || b == NEVER) return a;
  if (a == NEVER) return b;
  auto& x = table[a];
  auto& y = table[b];
  if (x.kind == Kind::LIST && isFamily(a, b)) return list(merge(x.ref, y.ref));
  if (x.kind == Kind::ARRAY && isFamily(a, b)) {
    auto dtype = x.dtype;
    auto dims = x.dims;
    return array(dtype, dims, merge(x.ref, y.ref));
  }
  if (x.kind == Kind::TUPLE && isFamily(a, b)) {
    auto left = x.parts, right = y.parts;
    for (size_t i = 0; i < left.size(); i++) left[i] = join(left[i], right[i]);
    return tuple(std::move(left));
  }
  // Members of one family become one member; the rest stand side by side.
  auto all = members(a);
  for (auto member : members(b)) {
    bool placed = false;
    for (auto& other : all) {
      auto joined = other == member ? other : NEVER;
      if (joined == NEVER && isFamily(other, member)) {
        auto attempt = join(other, member);
        if (!is(attempt, Kind::UNION)) joined = attempt;
      }
      if (joined != NEVER) {
        other = joined;
        placed = true;
        break;
      }
    }
    if (!placed) all.push_back(member);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() == 1) return all[0];
  if (all.size() > UNION_MEMBERS_MAX) throw Declined(0, "a value that can be of more than four types");
  return intern({.kind = Kind::UNION, .parts = std::move(all)});
}

const std::vector<Prim>& Types::leaves(Type type) {
  auto found = leafTable.find(type);
  if (found != leafTable.end()) return found->second;
  std::vector<Prim> result;
  auto data = table[type];
  switch (data.kind) {
    case Kind::BOOL: result = {Prim::B}; break;
    case Kind::STR:
    case Kind::BYTES:
    case Kind::INT: result = {Prim::I}; break;
    case Kind::FLOAT: result = {Prim::F}; break;
    case Kind::COMPLEX: result = {Prim::F, Prim::F}; break;
    case Kind::SCALAR:
      if (isComplex(data.dtype)) return leaves(COMPLEX);
      result = {data.dtype == DType::BOOL ? Prim::B : isReal(data.dtype) ? Prim::F : Prim::I};
      break;
    case Kind::RANGE: result = {Prim::I, Prim::I, Prim::I}; break;
    case Kind::LIST: result = {Prim::P}; break;
    case Kind::ARRAY:
      result = {Prim::P};
      result.insert(result.end(), 2 * data.dims, Prim::I);
      break;
    case Kind::TUPLE:
      for (auto part : data.parts) {
        auto inner = leaves(part);
        result.insert(result.end(), inner.begin(), inner.end());
      }
      break;
    case Kind::UNION: {
      size_t widest = 0;
      for (auto part : data.parts) widest = std::max(widest, leaves(part).size());
      result.assign(1 + widest, Prim::I);
      break;
    }
    default: break;
  }
  return leafTable[type] = std::move(result);
}

int64_t Types::tag(Type unionType, Type member) const {
  auto& parts = table[unionType].parts;
  return std::find(parts.begin(), parts.end(), member) - parts.begin();
}

uint32_t Types::site(uint64_t key) {
  auto [entry, isNew] = siteIndex.try_emplace(key, static_cast<uint32_t>(sites.size()));
  if (isNew) {
    sites.push_back({});
    parents.push_back(entry->second);
  }
  return entry->second;
}

uint32_t Types::find(uint32_t site) {
  while (parents[site] != site) site = parents[site] = parents[parents[site]];
  return site;
}

uint32_t Types::merge(uint32_t a, uint32_t b) {
  a = find(a);
  b = find(b);
  if (a == b) return a;
  if (b < a) std::swap(a, b);
  changed = true;
  parents[b] = a;
  auto other = sites[b];
  sites[a].written |= other.written;
  sites[a].resized |= other.resized;
  sites[a].parameter |= other.parameter;
  sites[a].escapes |= other.escapes;
  widen(a, other.element);
  return find(a);
}

void Types::widen(uint32_t site, Type element) {
  site = find(site);
  auto joined = join(sites[site].element, element);
  site = find(site);
  if (joined == sites[site].element) return;
  sites[site].element = joined;
  changed = true;
}

void Types::mark(uint32_t site, bool Site::*flag) {
  auto& entry = (*this)(site);
  if (entry.*flag) return;
  entry.*flag = true;
  changed = true;
}

namespace {

// A list may hold lists of its own site, itself even: one that is being shown is only hinted at.
class Shown {
 public:
  explicit Shown(Types& types) : types(types) {}

  std::string text(Type type) {
    auto& data = types[type];
    switch (data.kind) {
      case Kind::NEVER: return "never";
      case Kind::UNBOUND: return "unbound";
      case Kind::NONE: return "None";
      case Kind::BOOL: return "bool";
      case Kind::INT: return "int";
      case Kind::FLOAT: return "float";
      case Kind::COMPLEX: return "complex";
      case Kind::STR: return "str";
      case Kind::BYTES: return "bytes";
      case Kind::SCALAR: return std::string("numpy.") + nameOf(data.dtype);
      case Kind::RANGE: return "range";
      case Kind::TUPLE: return "tuple[" + joined(data.parts, ", ") + "]";
      case Kind::LIST: return listText(type);
      case Kind::ARRAY: return std::string("array[") + nameOf(data.dtype) + ", " + std::to_string(data.dims) + "d]";
      case Kind::REF: return "ref";
      case Kind::UNION: return joined(data.parts, " | ");
    }
    return "?";
  }

 private:
  std::string joined(const std::vector<Type>& parts, const char* between) {
    std::string all;
    for (auto part : parts) all += (all.empty() ? "" : between) + text(part);
    return all;
  }

  std::string listText(Type list) {
    auto& site = types(types[list].ref);
    if (std::find(open.begin(), open.end(), &site) != open.end()) return "...";
    open.push_back(&site);
    auto inner = text(site.element);
    open.pop_back();
    return "list[" + inner + "]";
  }

  Types& types;
  std::vector<const Site*> open;  // of the lists around
};

}  // namespace

std::string Types::show(Type type) { return Shown(*this).text(type); }

}  // namespace epochly::program
