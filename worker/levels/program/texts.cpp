// str and bytes, which only pass through: a value is a number that stands for the text, equal where the texts are.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::CompareOp;

Value FunctionElaborator::textConst(Type type, const std::string& content) {
  auto& all = unit.texts;
  Text text{type == Types::BYTES, content};
  auto found = std::find(all.begin(), all.end(), text);
  if (found == all.end()) found = all.insert(all.end(), text);
  return {type, {constI(found - all.begin())}};
}

const Text* FunctionElaborator::knownText(const Value& value) const {
  if (!isText(value.type)) return nullptr;
  auto found = constants.find(value.leaves[0]);
  return found == constants.end() ? nullptr : &unit.texts[found->second];
}

ValueId FunctionElaborator::sameText(const Value& left, const Value& right) {
  auto a = constants.find(left.leaves[0]), b = constants.find(right.leaves[0]);
  if (a != constants.end() && b != constants.end()) return constB(a->second == b->second);
  return icmp(Compare::EQ, left.leaves[0], right.leaves[0]);
}

// One side at least is a text.
Value FunctionElaborator::textCompare(CompareOp op, const Value& left, const Value& right) {
  auto& other = isText(left.type) ? right : left;
  bool isEquality = op == CompareOp::EQ || op == CompareOp::NE, isIdentity = op == CompareOp::IS || op == CompareOp::IS_NOT;
  bool isPlain = isText(other.type) || other.type == Types::NONE || other.type == Types::FLOAT ||
                 other.type == Types::COMPLEX || isPlainInt(other.type) || types.is(other.type, Kind::TUPLE) ||
                 types.is(other.type, Kind::LIST);
  if (!isPlain || !(isEquality || isIdentity))
    decline("comparing " + types.show(left.type) + " and " + types.show(right.type) + " is not compiled");
  // python -b warns of these.
  if (isEquality && left.type != right.type && isText(left.type) && isText(right.type))
    decline("comparing str and bytes is not compiled");
  auto same = left.type == right.type ? sameText(left, right) : constB(false);
  if (isIdentity && left.type == right.type)
    guard(bnot(same), "'is' of texts that are equal: they may be one object or two");
  return boolean(op == CompareOp::EQ || op == CompareOp::IS ? same : bnot(same));
}

// float("inf"), float("nan"): other texts are CPython's to read.
std::optional<Value> FunctionElaborator::floatOf(const Text& text) {
  auto word = text.content;
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  bool isNegative = word.starts_with("-");
  if (isNegative || word.starts_with("+")) word.erase(0, 1);
  auto sign = isNegative ? -1.0 : 1.0;
  if (word == "inf" || word == "infinity") return realConst(sign * HUGE_VAL);
  if (word == "nan") return realConst(std::copysign(std::nan(""), sign));
  return {};
}

}  // namespace epochly::program
