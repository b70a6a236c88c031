// Whether iterations meet in memory: what they write, and who else reads or writes it.
#include <algorithm>

#include "levels/multicore/judge.h"

namespace epochly::multicore {

using program::ArrayVariable;
using program::Op;

void Judge::checkCalls() {
  for (auto& access : flow.accesses()) {
    if (access.isWrite && access.at->op == Op::CALL && flow.isInside(access.at, loop))
      decline(access.at->line, "it calls a function that writes into an array or a list", "other");
  }
}

bool Judge::isOwn(const Poly& address) const {
  auto root = flow.root(address);
  return root && flow.symbol(*root).isFresh && flow.varies(*root, loop);
}

void Judge::checkLists() {
  for (auto& access : flow.accesses()) {
    if (!access.isList || !access.isWrite || !flow.isInside(access.at, loop) || isOwn(*access.address)) continue;
    auto list = flow.root(*access.address);
    if (list && isGathered(*list)) continue;
    auto leaves = list ? appendsOnly(flow, loop, *list) : std::nullopt;
    if (!list || (!leaves && !isCountedList(*list))) decline(access.at->line, "it changes a list", "other");
    auto kind = leaves ? program::FoldKind::APPEND : program::FoldKind::LIST_COUNTERS;
    verdict.gathered.push_back({.kind = kind, .array = {}, .list = *list, .leaves = leaves.value_or(1)});
  }
}

bool Judge::isCountedList(Symbol list) {
  auto& needed = verdict.requirements;
  if (!canKnow(list) || !countsOnly(flow, loop, list, needed.others)) return false;
  needed.fewInList.push_back(list);
  return true;
}

bool Judge::isGathered(Symbol list) const {
  auto& all = verdict.gathered;
  return std::any_of(all.begin(), all.end(),
                     [&](auto& one) { return one.kind != program::FoldKind::COUNTERS && one.list == list; });
}

std::vector<ArrayVariable> Judge::variablesOf(Symbol root) const {
  std::vector<ArrayVariable> found;
  for (auto& array : flow.of().arrays) {
    bool stays = true;
    for (uint32_t leaf = 0; leaf < 1 + 2 * array.dims; leaf++) stays &= !loop.heads.count(array.slot + leaf);
    if (stays && flow.root(*loop.entry[array.slot].value) == root) found.push_back(array);
  }
  return found;
}

std::vector<Poly> Judge::indicesOf(const Access& access, const ArrayVariable& array) {
  auto offset = resolve(access.address->minus(*loop.entry[array.slot].value));
  std::vector<Poly> indices(array.dims);
  std::map<Symbol, uint32_t> strides;
  for (uint32_t dim = 0; dim < array.dims; dim++) {
    auto& stride = loop.entry[array.slot + 1 + array.dims + dim].value;
    auto symbols = symbolsOf(*stride);
    if (symbols.size() != 1 || !stride->is(symbols[0]) || !strides.try_emplace(symbols[0], dim).second) return {};
  }
  for (auto& [product, factor] : offset.terms()) {
    bool isPart = product.empty() && factor > 0 && factor < program::bytesOf(array.dtype);
    if (isPart) continue;  // of a complex number
    std::optional<uint32_t> dim;
    Poly term = Poly::constant(factor);
    for (auto symbol : product) {
      auto stride = strides.find(symbol);
      if (stride == strides.end()) {
        if (flow.symbol(symbol).isPointer) return {};
        term = term.times(Poly::of(symbol));
      } else if (dim) {
        return {};
      } else {
        dim = stride->second;
      }
    }
    if (!dim) return {};
    indices[*dim] = indices[*dim].plus(term);
  }
  return indices;
}

void Judge::checkArrays() {
  if (loop.loop->anyOrder) return;
  std::map<Symbol, Touched> byRoot;
  const Access* unknownRead = nullptr;
  const Access* anyWrite = nullptr;
  for (auto& access : flow.accesses()) {
    if (access.isList || !flow.isInside(access.at, loop) || isOwn(*access.address)) continue;
    auto root = flow.root(*access.address);
    bool isKnown = root && !flow.varies(*root, loop);
    if (access.isWrite) {
      if (!isKnown) decline(access.at->line, "it writes into an array that it chooses as it goes", "other");
      anyWrite = anyWrite ? anyWrite : &access;
    } else if (!isKnown) {
      unknownRead = &access;
      continue;
    }
    auto& touched = byRoot[*root];
    (access.isWrite ? touched.writes : touched.reads).push_back(&access);
  }
  if (anyWrite && unknownRead && unknownRead->at->op != Op::CALL)
    decline(unknownRead->at->line, "it reads an array that it chooses as it goes, which may be one that it writes", "other");
  for (auto& [root, touched] : byRoot) {
    if (!touched.writes.empty()) checkWritten(root, touched, byRoot);
  }
}

void Judge::checkWritten(Symbol root, const Touched& touched, const std::map<Symbol, Touched>& byRoot) {
  auto variables = variablesOf(root);
  auto array = std::find_if(variables.begin(), variables.end(), [&](auto& one) { return isIndependent(one, touched); });
  if (array == variables.end()) {
    array = std::find_if(variables.begin(), variables.end(), [&](auto& one) { return isCounted(one, touched); });
    if (array == variables.end()) explain(variables, touched);
    verdict.gathered.push_back({.kind = program::FoldKind::COUNTERS, .array = *array});
    verdict.requirements.few.push_back(*array);
  }
  verdict.requirements.distinct.push_back(*array);
  for (auto& [other, theirs] : byRoot) {
    bool counted = other == root || (!theirs.writes.empty() && other < root);  // each pair once
    if (!counted && !areApart(root, other)) requireApart(*array, other, theirs);
  }
}

bool Judge::isIndependent(const ArrayVariable& array, const Touched& touched) {
  std::vector<std::vector<Poly>> all;
  for (auto* group : {&touched.writes, &touched.reads}) {
    for (auto* access : *group) {
      all.push_back(indicesOf(*access, array));
      if (all.back().empty()) return false;
    }
  }
  for (uint32_t dim = 0; dim < array.dims; dim++) {
    auto slope = all[0][dim].slope(trips[loop.index]);
    if (!slope || !slope->isConstant() || slope->constantPart() == 0) continue;
    if (flow.varies(all[0][dim].with(trips[loop.index], Poly()), loop)) continue;
    if (std::all_of(all.begin(), all.end(), [&](auto& one) { return one[dim] == all[0][dim]; })) return true;
  }
  return false;
}

bool Judge::isReachedInside(const Access& access, const ArrayVariable& array) const {
  auto isLoad = [&](program::ValueId id, uint32_t slot) {
    auto* load = flow.maker(id);
    return load && load->op == Op::LOAD && load->imm == slot && flow.isInside(load, loop);
  };
  auto* address = access.at->args.empty() ? nullptr : flow.maker(access.at->args[0]);
  if (!address || address->op != Op::POINTER_ADD || !isLoad(address->args[0], array.slot)) return false;
  auto* offset = flow.maker(address->args[1]);
  return offset && offset->op == Op::MUL && isLoad(offset->args[1], array.slot + 2);
}

bool Judge::isCounted(const ArrayVariable& array, const Touched& touched) {
  if (array.dims != 1 || array.dtype != program::DType::I64) return false;
  for (auto* group : {&touched.writes, &touched.reads}) {
    for (auto* access : *group) {
      if (!isReachedInside(*access, array) || indicesOf(*access, array).empty()) return false;
    }
  }
  return countsOnly(flow, loop, touched.reads, touched.writes);
}

void Judge::explain(const std::vector<ArrayVariable>& variables, const Touched& touched) {
  auto* write = touched.writes[0];
  if (variables.empty())
    decline(write->at->line, "it writes into an array whose place is not known before the loop", "other");
  auto name = quoted(variables[0].slot);
  auto line = touched.reads.empty() ? write->at->line : touched.reads[0]->at->line;
  Touched writes{{}, touched.writes};
  bool writesApart = std::any_of(variables.begin(), variables.end(), [&](auto& one) { return isIndependent(one, writes); });
  if (writesApart) decline(line, "it reads elements of " + name + " that other iterations write", "carried");
  decline(write->at->line, "several iterations may write the same element of " + name, "scatter");
}

bool Judge::areApart(Symbol a, Symbol b) const {
  auto &one = flow.symbol(a), &other = flow.symbol(b);
  return (one.isFresh && (other.isFresh || other.isArgument)) || (one.isArgument && other.isFresh);
}

void Judge::requireApart(const ArrayVariable& written, Symbol other, const Touched& theirs) {
  for (auto& candidate : variablesOf(other)) {
    bool holdsAll = true;
    for (auto* group : {&theirs.writes, &theirs.reads}) {
      for (auto* access : *group) holdsAll &= !indicesOf(*access, candidate).empty();
    }
    if (holdsAll) {
      verdict.requirements.apart.emplace_back(written, candidate);
      return;
    }
  }
  // What is read along all of an array, by a function say, lies within one of its variables as long as no view is larger.
  auto line = theirs.reads.empty() ? theirs.writes[0]->at->line : theirs.reads[0]->at->line;
  decline(line, "it cannot be told whether an array it reads shares memory with " + quoted(written.slot), "other");
}

}  // namespace epochly::multicore
