// One function's statements and expressions, for one set of argument types, to typed code. What is below statements and expressions
// is Flow's (variables, labels, unions) and Emitter's (instructions).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "levels/program/bounds.h"
#include "levels/program/elaborator.h"
#include "levels/program/flow.h"

namespace epochly::program {

// One function for one set of argument types.
class FunctionElaborator final : Flow {
 public:
  FunctionElaborator(Elaborator& owner, Instance& instance, schema::Function::Reader function);
  void run();

 private:
  using Expression = schema::Expression::Reader;
  using Statement = schema::Statement::Reader;
  template <typename T>
  using ListOf = capnp::List<T>;
  using Expressions = capnp::List<schema::Expression>::Reader;
  using Statements = capnp::List<schema::Statement>::Reader;

  // ---- statements and loops: statements.cpp, loops.cpp -------------------------------------------------------------------
  struct LoopLabels {
    Label* onBreak;
    Label* onContinue;
  };
  void list(Statements statements);
  void statement(Statement statement);
  void assignTo(Expression target, const Value& value);
  void assignSubscript(Expression target, const Value& value);
  void unpack(Expressions targets, const Value& value);
  void unpackStarred(Expressions targets, size_t star, const Value& value);
  void remove(Expression target);
  void augment(Statement statement);
  void ifStatement(Statement statement);
  void leaveUnless(ValueId condition, Label& label);
  void loopBody(Label& onBreak, Label& onContinue, Statements body);
  void whileStatement(Statement statement);
  void forStatement(Statement statement);
  void returnStatement(Statement statement);
  // Whose loop it is: iterations of the program's own are counted, as CPython counts them.
  enum class Of { PROGRAM, BUILTIN };
  // Runs `iteration` again and again until it jumps out.
  void loop(const std::function<void(Label& again)>& iteration, Of of = Of::BUILTIN);
  void iterationEnds(Of of) {
    if (of == Of::PROGRAM) emitVoid(Op::COUNT, {});
  }
  bool worthPeeling(const Env& head, const Env& back) const;

  struct Iterator {
    std::function<ValueId()> hasNext;
    std::function<Value()> next;    // and step
    std::optional<ValueId> length;  // if known before
    bool unrolled = false;
    std::vector<Value> items;  // unrolled
  };
  Iterator iterate(Expression iterable);
  Iterator iterateValue(const Value& iterable);
  Iterator iterateZip(Expressions args);
  Iterator iterateTuple(const Value& tuple);
  Iterator iterateRange(const Value& range, bool reversed);
  Iterator iterateIndexed(const Value& sequence, bool reversed);
  std::optional<std::string> builtinCalled(Expression expression);
  // `body` for every item; `after` when it ends by itself.
  void forEach(Expression iterable, const std::function<void(const Value&, Label& again)>& body, Of of = Of::BUILTIN);
  void forEach(Iterator iterator, const std::function<void(const Value&, Label& again)>& body, Of of = Of::BUILTIN);
  void generators(capnp::List<schema::Generator>::Reader generators, uint at, const std::function<void()>& body);
  Value comprehension(Expression expression);

  // ---- expressions: expressions.cpp --------------------------------------------------------------------------------------
  Value expression(Expression expression);
  Value settle(Value value) override;
  Value unsettled(Expression expression);  // as expression(), but Value::unchecked may be left
  Value settleChecks(Value value);         // of unchecked only: a fused array stays one
  bool mayWrite(Expression expression);    // evaluating it could change an array
  Value none() { return {Types::NONE, {}}; }
  Value boolean(ValueId leaf) { return {Types::BOOL, {leaf}}; }
  Value integer(ValueId leaf) { return {Types::INT, {leaf}}; }
  Value real(ValueId leaf) { return {Types::FLOAT, {leaf}}; }
  Value integerConst(int64_t value) { return {Types::INT, {constI(value)}, value}; }
  Value realConst(double value) { return {Types::FLOAT, {constF(value)}, {}, value}; }
  Value fromBinding(const Binding& binding);
  void addItem(std::vector<Value>& items, Expression item);
  Value listWithStars(Expression expression);
  Value shortCircuit(Expressions values, bool isAnd);
  Value comparison(Expression expression);
  Value conditional(Expression expression);
  Value attribute(Expression expression);
  ValueId truth(const Value& value);
  ValueId condition(Expression expression);  // truth(expression()) without making its value
  const Binding& refOf(const Value& value) const;
  bool isRef(const Value& value) const { return types.is(value.type, Kind::REF); }

  // ---- arithmetic: arithmetic.cpp, compare.cpp ---------------------------------------------------------------------------
  Value binary(schema::BinaryOp op, const Value& left, const Value& right);
  Value intBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value floatBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value narrowBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value scalarBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value unary(schema::UnaryOp op, const Value& operand);
  Value compare(schema::CompareOp op, const Value& left, const Value& right);
  ValueId sameItem(const Value& left, const Value& right);
  Value contains(const Value& all, const Value& wanted);
  ValueId sameLists(const Value& left, const Value& right);
  Value compareTuples(schema::CompareOp op, const Value& left, const Value& right);
  ValueId compareIntFloat(schema::CompareOp op, ValueId integerLeaf, ValueId floatLeaf);
  ValueId trueDivide(ValueId a, ValueId b);
  void guardWarnings(ValueId last, const std::vector<ValueId>& operations);
  bool isNumber(Type type) const;
  bool isPlainInt(Type type) const { return type == Types::INT || type == Types::BOOL; }
  bool isFloatLike(Type type) const { return type == Types::FLOAT || types.isScalar(type, DType::F64); }
  bool isIntLike(Type type) const;
  bool isBoolLike(Type type) const { return type == Types::BOOL || types.isScalar(type, DType::BOOL); }
  ValueId asInt(const Value& value);    // BOOL, INT, integer scalars
  ValueId asFloat(const Value& value);  // any number
  [[noreturn]] void typeError(const std::string& what) { fail("TypeError: " + what); }

  // ---- complex numbers: complex.cpp -------------------------------------------------------------------------------------------
  struct Parts {
    ValueId real, imag;
  };
  bool isComplexLike(Type type) const;
  bool isNumeric(Type type) const { return isNumber(type) || isComplexLike(type); }
  Value complex(const Parts& parts) { return {Types::COMPLEX, {parts.real, parts.imag}}; }
  Value complex(const Parts& parts, DType dtype) { return {types.scalar(dtype), {parts.real, parts.imag}}; }
  Parts partsOf(const Value& value);  // any number
  Value complexBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value complexScalarBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value complexElementBinary(schema::BinaryOp op, const Value& left, const Value& right, DType dtype);
  Value complexArrayBinary(schema::BinaryOp op, const Value& left, const Value& right, DType dtype);
  ValueId partOp(Op op, ValueId a, ValueId b, DType dtype);
  Parts product(const Parts& x, const Parts& y, DType dtype = DType::C128);
  Parts quotient(const Parts& x, const Parts& y, DType dtype, bool asNumpy);
  Value complexPower(const Parts& base, const Parts& exponent, const Value& power);
  void guardFinite(ValueId leaf);
  Value complexCast(const Value& value, DType to);
  Value complexUnary(schema::UnaryOp op, const Value& operand);
  Value complexAbsolute(const Value& value);
  Value complexCompare(schema::CompareOp op, const Value& left, const Value& right);
  Value makeComplex(const std::vector<Value>& args);
  std::optional<Value> numberAttribute(const Value& of, const std::string& name);
  Value partView(const Value& array, bool isImag);
  std::optional<Value> complexElementFunction(const std::string& name, const Value& item);

  // ---- str and bytes: texts.cpp -------------------------------------------------------------------------------------------
  bool isText(Type type) const { return type == Types::STR || type == Types::BYTES; }
  Value textConst(Type type, const std::string& content);
  const Text* knownText(const Value& value) const;  // null: known only while running
  ValueId sameText(const Value& left, const Value& right);
  Value textCompare(schema::CompareOp op, const Value& left, const Value& right);
  std::optional<Value> floatOf(const Text& text);

  // ---- lists, tuples, arrays: containers.cpp ------------------------------------------------------------------------------
  Value newList(uint32_t id, ValueId capacity);
  void push(const Value& list, const Value& item);
  ValueId listLength(const Value& list);
  Value listLoad(const Value& list, ValueId index);
  void listStore(const Value& list, ValueId index, const Value& item);
  Type elementOf(const Value& list) const;
  Value listRepeat(const Value& list, const Value& count, uint32_t id);
  Value listConcat(const Value& left, const Value& right, uint32_t id);
  void assignSlice(const Value& list, Expression slice, const Value& value);
  void extend(const Value& list, const Value& items);
  void insertItem(const Value& list, const Value& index, const Value& item);
  Value popAt(const Value& list, const Value& index);
  Value popLast(const Value& list);
  void shorten(const Value& list);  // by its last item
  void clearList(const Value& list);
  Value copyList(const Value& list, uint32_t id);
  void reverseList(const Value& list);
  void matches(const Value& list, const Value& wanted, const std::function<void(ValueId at)>& found);
  Value find(const Value& list, const Value& wanted);
  Value indexOf(const Value& list, const Value& wanted);
  Value countOf(const Value& list, const Value& wanted);
  void sortList(const Value& list, bool reverse);
  Value listSlice(const Value& list, Expression slice, uint32_t id);
  Value length(const Value& value);
  Value subscript(Expression expression);
  Value subscriptValue(const Value& base, Expression index, uint32_t id);
  Value tupleAt(const Value& tuple, ValueId index);
  Value tupleSlice(const Value& tuple, Expression slice);
  Value tupleConcat(const Value& left, const Value& right);
  ValueId checkedIndex(const Value& index, ValueId length);
  ValueId arrayDim(const Value& array, uint32_t dim) const { return array.leaves[1 + dim]; }
  ValueId arrayStride(const Value& array, uint32_t dim) const { return array.leaves[1 + types[array.type].dims + dim]; }
  Value arrayItem(const Value& array, ValueId index);  // a scalar or a view
  Value storable(const Value& item, DType dtype);
  void storeElement(const Value& array, ValueId pointer, const Value& item);
  // One of several indices: a number, or a slice as start, step and count.
  struct Slice {
    ValueId start, step, count;
  };
  struct Index {
    enum { NUMBER, SLICE, NEW_AXIS } what;
    Value number = {};
    Slice slice = {};
  };
  Slice sliceOf(Expression slice, ValueId length);
  std::vector<Index> indicesOf(const Value& array, Expression index);
  Value viewAt(const Value& array, const std::vector<Index>& indices);  // of no dimensions where it is an element
  void checkNumbers(const std::vector<Index>& indices);
  Value loadView(const Value& view);  // the element of one of no dimensions
  Value arraySubscript(const Value& array, Expression index);
  // array[index] = value(array[index])
  void assignToArray(const Value& array, Expression index, const std::function<Value(const Value& before)>& value);
  bool castsInPlace(DType from, DType to) const;
  Value masked(const Value& array, const Value& mask);
  void assignMasked(const Value& array, const Value& mask, const Value& value);
  Value gathered(const Value& array, const Value& positions);

  // ---- whole arrays: fused.cpp, elements.cpp ----------------------------------------------------------------------------------
  bool isArray(const Value& value) const { return types.is(value.type, Kind::ARRAY); }
  DType dtypeOf(const Value& value) const { return types[value.type].dtype; }
  DType promote(DType a, DType b);
  DType resultDtype(const Value& left, const Value& right);  // of an operation between arrays and scalars
  Value elementBinary(schema::BinaryOp op, const Value& left, const Value& right, DType dtype);
  Value elementCompare(schema::CompareOp op, const Value& left, const Value& right, DType dtype);
  Value castElement(const Value& value, DType to);
  Value wrapped(ValueId leaf, DType dtype);
  Value scalarOf(DType dtype, ValueId leaf) { return {types.scalar(dtype), {leaf}}; }
  using Compute = std::function<Value(const std::vector<Value>&)>;
  Fused fusedOf(const Value& value);
  Value lazily(Fused fused);
  void keepsElements(const std::vector<ValueId>& own, const std::vector<ValueId>& result);
  Value combine(const std::vector<Value>& operands, DType dtype, const Compute& compute);
  Value arrayBinary(schema::BinaryOp op, const Value& left, const Value& right);
  Value arrayCompare(schema::CompareOp op, const Value& left, const Value& right);
  Value arrayUnary(schema::UnaryOp op, const Value& operand);
  Value arrayPower(const Value& base, const Value& exponent);
  Value materialise(const Value& value);
  Value newArray(DType dtype, const std::vector<ValueId>& shape, const std::vector<ValueId>& strides);
  // The memory of an array that only this operation has seen; `lazy` is what it was settled from.
  void release(const Value& lazy, const Value& settled);
  Value newArray(DType dtype, const std::vector<ValueId>& shape) { return newArray(dtype, shape, rowMajor(dtype, shape)); }
  std::vector<ValueId> rowMajor(DType dtype, const std::vector<ValueId>& shape);
  std::vector<ValueId> resultStrides(const Fused& fused);
  ValueId sizeOf(const std::vector<ValueId>& shape);
  std::vector<ValueId> shapeOf(const Value& array) const;
  ValueId isRowMajor(const Value& array);
  using ElementUse = std::function<void(const Value& element, const std::vector<ValueId>& addresses)>;
  void fill(const Value& target, const Fused& fused, bool again);  // target: of the same shape
  void loopNest(const std::vector<Stream>& streams, const std::vector<ValueId>& counts, bool contiguous,
                const std::function<void(const std::vector<ValueId>& addresses)>& use);
  void counted(ValueId count, bool polls, const std::function<void(ValueId at)>& body);
  void elementLoop(const Fused& fused, const std::vector<Stream>& streams, bool again, const ElementUse& use);
  Value loadElement(DType dtype, ValueId address);
  ValueId behind(ValueId address, DType dtype);                      // one element further
  void storeAt(ValueId address, const Value& element, DType dtype);  // an element of that dtype
  Value selectElement(ValueId condition, const Value& yes, const Value& no);
  Value loadFused(const Fused& fused, const std::vector<ValueId>& addresses);
  Value operandAs(const Value& value, DType dtype);
  ValueId isApart(const Stream& stream, const Value& target);
  Fused broadcastTo(const Value& target, const Value& value);
  void assignArray(const Value& target, const Value& value);
  uint32_t newSlot(Prim prim);
  void clearArraySlots();  // at the function's start
  std::vector<ValueId> arrayRoots();
  void addRoots(Type type, uint32_t slot, std::vector<ValueId>& roots);
  Value ufunc(const std::string& name, const std::vector<Value>& args);
  Value ufuncScalar(uint32_t which, DType dtype, const std::vector<Value>& args);
  void noteEscape(Type type);

  // ---- numpy's functions and methods: numpy.cpp, reductions.cpp, axis.cpp -----------------------------------------------------
  Value arrayMethod(const Value& self, const std::string& name, Expression expression);
  std::vector<Value> arrayArguments(Expression expression);
  std::optional<DType> dtypeNamed(Expression expression);
  std::vector<ValueId> shapeFrom(const Value& value);
  Value create(const std::string& name, Expression expression);
  Value createLike(const std::string& name, Expression expression);
  Value arange(const std::vector<Value>& args, std::optional<DType> dtype);
  Value elementwise(const std::string& name, const std::vector<Value>& args);
  Value reduce(const std::string& name, const Value& array);
  Value reduceFloats(const char* ufunc, const Value& array, std::optional<double> start);
  Value reduceIntegers(const std::string& name, const Value& array);
  Value variance(const Value& array, bool isRoot);
  void reduceChunk(const char* ufunc, DType dtype, ValueId cell, ValueId pointer, ValueId stride, ValueId count);
  ValueId scratch(size_t bytes);
  struct Row {
    ValueId pointer, stride, count;
  };
  Row asRow(const Value& array);
  void reduceRow(const char* ufunc, DType dtype, ValueId cell, const Row& row, int64_t skip, bool inPieces);
  ValueId sumAsDouble(const Value& array);
  Value divided(ValueId sum, ValueId count, DType dtype);
  struct Axes {
    std::vector<int64_t> numbers;  // as they were given
    bool isTuple = false;
    bool isWhole = true;  // none were given
    bool keeps = false;   // keepdims
  };
  struct Planes {
    ValueId outer, count, inner;
    bool isLast;                  // inner is 1
    std::vector<ValueId> result;  // its shape
  };
  Axes axesOf(capnp::List<schema::Keyword>::Reader keywords);
  void addAxes(Axes& axes, const Value& value);
  std::vector<size_t> axesWithin(const Axes& axes, size_t dims);
  Planes planesOf(const Value& array, size_t first, size_t last, bool keeps);
  Value realsAxis(const std::string& name, const Value& array, const Planes& planes);
  Value foldAxis(const std::string& name, const Value& array, const Planes& planes);
  Value extremeAxis(const std::string& name, const Value& array, const Planes& planes);
  Value varianceAxes(const std::string& name, const Value& array, size_t first, size_t last, bool keeps);
  Value dividedArray(const Value& array, ValueId count);
  ValueId winsExtreme(const Value& element, const Value& before, bool isMin);
  Value transposed(const Value& array);
  void fillWith(const Value& array, const Value& filling);
  std::optional<Value> elementFunction(const std::string& name, const Value& item);
  Value argExtreme(const Value& array, bool isMin);
  Value anyAllOf(const Value& array, bool isAny);
  Value mean(const Value& array);
  Value reduceAxes(const std::string& name, const Value& array, const Axes& axes);
  Value reduceWhole(const std::string& name, const Value& lazy, bool keeps);
  bool isPoint(const Value& value) const { return types.is(value.type, Kind::ARRAY) && types[value.type].dims == 0; }
  Value pointElement(const Value& value) { return isPoint(value) ? loadView(value) : value; }
  Value matmul(const Value& left, const Value& right);
  Value where(const std::vector<Value>& args);
  Value reshape(const Value& array, const std::vector<Value>& args);
  Value astype(const Value& array, DType dtype);

  // ---- calls: calls.cpp, methods.cpp, builtins.cpp ------------------------------------------------------------------------
  Value call(Expression expression);
  Value callFunction(uint32_t function, Expression expression);
  Value callNumpy(const std::string& name, Expression expression);
  std::vector<Value> argumentsOf(Expression expression);
  Value callMethod(const Value& self, const std::string& name, Expression expression);
  std::optional<Value> listMethod(const Value& self, const std::string& name, uint32_t id);
  std::optional<Value> listMethodOf(const Value& self, const std::string& name, const Value& arg);
  Value numberMethod(const Value& self, const std::string& name);
  std::optional<Value> integerMethod(const Value& self, const std::string& name);
  Value itemOf(const Value& scalar);
  std::optional<bool> reverseOf(Expression expression);  // reverse=..., the only keyword
  Value callBuiltin(const std::string& name, Expression expression);
  std::optional<Value> emptyOf(const std::string& name, uint32_t id);
  std::optional<Value> builtinOfOne(const std::string& name, const Value& given);
  std::optional<Value> builtinOfTwo(const std::string& name, const Value& left, const Value& right);
  Value listOf(Expression over, uint32_t id);
  Value rangeOf(const std::vector<Value>& args);
  Value toInt(const Value& value);
  Value toFloat(const Value& value);
  Value absolute(const Value& value);
  Value round(const std::vector<Value>& args);
  Value divmod(const Value& left, const Value& right);
  Value powerModulo(const std::vector<Value>& args);
  bool isOfClass(Type type, const Binding& wanted);
  Value isInstance(const Value& value, const Value& classes);

  // ---- folds.cpp ----------------------------------------------------------------------------------------------------------
  void items(Expression over, const std::function<void(const Value&)>& use);
  Value better(const Value& best, const Value& item, bool isMin);
  Value minMax(Expression expression, bool isMin);
  Value extremeOf(Expression over, std::optional<Expression> otherwise, bool isMin);
  void addCompensated(uint32_t total, uint32_t lost, ValueId x);
  Value sum(Expression expression);
  Value product(Expression expression);
  Value anyAll(Expression expression, bool isAny);

  // ---- math.cpp -----------------------------------------------------------------------------------------------------------
  Value callMath(const std::string& name, Expression expression);
  Value mathOf(const std::string& name, std::vector<Value> args);
  std::optional<Value> mathOfOne(const std::string& name, const Value& arg);
  std::optional<Value> mathOfTwo(const std::string& name, const Value& left, const Value& right);
  std::optional<Value> integerMath(const std::string& name, const std::vector<Value>& args);
  ValueId intMath(const std::string& name, const std::vector<ValueId>& args);
  Value libm(const char* function, const std::vector<ValueId>& args);
  Value checkedMath(const std::string& name, ValueId x);
  Value mathTest(const std::string& name, ValueId x);
  Value mathRounding(const std::string& name, const Value& arg);
  ValueId isFinite(ValueId x);
  ValueId unitInLastPlace(ValueId x);
  Value scaledByPower(ValueId x, const Value& by);
  Value isClose(Expression expression);
  Value norm(const std::vector<Value>& parts);
  Value distance(const Value& from, const Value& to);
  Value distanceOfLists(const Value& from, const Value& to);
  ValueId coordinate(const Value& value);
  Value exactSum(Expression expression);

  Elaborator& owner;
  const schema::Function::Reader function;
  std::vector<LoopLabels> loops;
  Label* end = nullptr;
  uint32_t resultVariable = 0;
  int loopDepth = 0;
  uint32_t currentId = 0;  // of the expression that is evaluated
  std::map<ValueId, uint32_t> slotOfArray;
  std::vector<uint32_t> arraySlots;  // hold the memory of array sites; null when the function starts
  // Elementwise loops that are made now touch no element twice: any order gives the same.
  bool anyOrder = false;
  // In an elementwise loop: the results to look at afterwards, instead of a branch in each iteration.
  std::vector<ValueId>* deferredChecks = nullptr;
};

}  // namespace epochly::program
