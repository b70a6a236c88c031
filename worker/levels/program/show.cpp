#include <sstream>

#include "levels/program/code.h"

namespace epochly::program {

namespace {

const char* const NAMES[] = {
    "const_b",       "const_i",     "const_f",     "null_p",       "arg",         "load",         "store",
    "add_checked",   "sub_checked", "mul_checked", "neg_checked",  "abs_checked", "shl_checked",  "add",
    "sub",           "mul",         "floor_div",   "floor_mod",    "shr",         "and",          "or",
    "xor",           "invert",      "pow_int",     "int_true_div", "int_math",    "wrap",         "unsigned_div",
    "unsigned_mod",  "fadd",        "fsub",        "fmul",         "fdiv",        "fneg",         "fabs",
    "fsqrt",         "ffloor",      "fceil",       "ftrunc",       "fround_even", "fmod_py",      "ffloor_div_py",
    "fpow_py",       "cpow_py",     "math1",       "math2",        "float_math",  "round_digits", "round_f32",
    "icmp",          "fcmp",        "band",        "bor",          "bxor",        "bnot",         "select",
    "b_to_i",        "i_to_f",      "u_to_f",      "f_to_i",       "to_bits",     "from_bits",    "guard",
    "guard_warning", "fail",        "if",          "block",        "loop",        "jump",         "count",
    "poll",          "call",        "return",      "list_new",     "list_length", "list_load",    "list_store",
    "list_push",     "list_pop",    "list_sort",   "pointer_add",  "array_load",  "array_store",  "matmul",
    "array_new",     "array_free",  "ufunc",       "worth",        "parallel",    "counters_new"};
static_assert(std::size(NAMES) == static_cast<size_t>(Op::COUNTERS_NEW) + 1);

void showBlock(std::ostringstream& text, Unit& unit, const Block& block, int depth) {
  for (auto* one : block.code) {
    text << std::string(2 * depth, ' ');
    if (one->results) text << "%" << one->result << " = ";
    text << NAMES[static_cast<int>(one->op)];
    if (!one->text.empty()) text << " " << one->text;
    if (one->op == Op::CONST_F) {
      text << " " << one->fimm;
    } else {
      text << " " << one->imm;
    }
    for (auto arg : one->args) text << " %" << arg;
    if (one->guard) text << "  ; line " << unit.guards[one->guard].line << ": " << unit.guards[one->guard].reason;
    text << "\n";
    for (auto* body : one->bodies) showBlock(text, unit, *body, depth + 1);
  }
}

}  // namespace

std::string show(Unit& unit, const Instance& instance) {
  std::ostringstream text;
  text << instance.name << "(";
  for (size_t i = 0; i < instance.arguments.size(); i++) text << (i ? ", " : "") << unit.types.show(instance.arguments[i]);
  text << ") -> " << unit.types.show(instance.result) << "\n";
  showBlock(text, unit, *instance.body, 1);
  return text.str();
}

}  // namespace epochly::program
