# A Python function as data, for levels 1 to 4: the shape of its source, types still open, independent of the Python version.
# The SDK writes it from `ast` without judging it; everything else (types, effects, loop shapes, what declines) is worker/levels/program.
#
# Names are resolved as CPython's compiler resolved them. A comprehension's own variables are locals named "name@id", where id is
# the comprehension's, so that they never meet the function's. What the language of the levels does not have is `unsupported`
# with a sentence for the user; it declines only where it is reached.
@0xc5d0a6e1b7f3924d;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("epochly::schema");

struct Program {
  functions @0 :List(Function);   # the entry first, then what it calls, in the order of first mention
}

struct Function {
  name @0 :Text;                  # "module.qualname"
  file @1 :Text;
  parameters @2 :List(Parameter); # in the order of the signature; *args and **kwargs make the SDK refuse the function
  body @3 :List(Statement);
  nodes @4 :UInt32;               # expression ids are below this
  receiver @5 :Bool;              # the first argument is an object of which only attributes are read: they are the last parameters
}

struct Parameter {
  enum Kind { positionalOnly @0; positional @1; keywordOnly @2; attribute @3; }
  name @0 :Text;                  # of an attribute of the receiver: "self.x"
  kind @1 :Kind;
}

struct Statement {
  line @0 :UInt32;                # in the file
  union {
    assign :group { targets @1 :List(Expression); value @2 :Expression; }        # a = b = value
    augment :group { target @3 :Expression; op @4 :BinaryOp; with @5 :Expression; }
    expression @6 :Expression;
    if :group { test @7 :Expression; then @8 :List(Statement); else @9 :List(Statement); }
    while :group { test @10 :Expression; body @11 :List(Statement); else @12 :List(Statement); }
    for :group { target @13 :Expression; iterable @14 :Expression; body @15 :List(Statement); else @16 :List(Statement); }
    return @17 :Expression;       # `return` alone returns none
    break @18 :Void;
    continue @19 :Void;
    pass @20 :Void;
    raise @21 :Void;              # what is raised is CPython's business: a level that gets here gives the call back
    assert @22 :Expression;
    unsupported @23 :Text;
    delete @24 :List(Expression);
  }
}

enum BinaryOp { add @0; sub @1; mul @2; div @3; floorDiv @4; mod @5; pow @6; lshift @7; rshift @8; bitAnd @9; bitOr @10; bitXor @11; matMul @12; }
enum UnaryOp { negative @0; positive @1; invert @2; not @3; }
enum CompareOp { eq @0; ne @1; lt @2; le @3; gt @4; ge @5; is @6; isNot @7; in @8; notIn @9; }

struct Expression {
  line @0 :UInt32;
  id @1 :UInt32;                  # unique in the function
  union {
    none @2 :Void;
    bool @3 :Bool;
    int @4 :Int64;
    bigInt @5 :Text;              # decimal, beyond 64 bits
    float @6 :Float64;
    str @7 :Text;
    local @8 :Text;
    closure @9 :Text;
    global @10 :Text;             # or a builtin
    unary :group { op @11 :UnaryOp; operand @12 :Expression; }
    binary :group { op @13 :BinaryOp; left @14 :Expression; right @15 :Expression; }
    and @16 :List(Expression);
    or @17 :List(Expression);
    compare :group { first @18 :Expression; ops @19 :List(CompareOp); rest @20 :List(Expression); }  # first op rest[0] op rest[1] ..
    conditional :group { test @21 :Expression; then @22 :Expression; else @23 :Expression; }
    call :group { callee @24 :Expression; arguments @25 :List(Expression); keywords @26 :List(Keyword); }
    attribute :group { of @27 :Expression; name @28 :Text; }
    subscript :group { of @29 :Expression; index @30 :Expression; }
    slice :group { lower @31 :Expression; upper @32 :Expression; step @33 :Expression; }             # none where left out
    tuple @34 :List(Expression);
    list @35 :List(Expression);
    comprehension :group { element @36 :Expression; generators @37 :List(Generator); lazy @38 :Bool; } # lazy: (.. for ..)
    unsupported @39 :Text;
    imaginary @40 :Float64;       # 2.5j
    bytes @41 :Data;
    named :group { target @42 :Expression; value @43 :Expression; }                                  # (target := value)
    starred @44 :Expression;      # *of, among targets or the items of a tuple or list
  }
}

struct Keyword { name @0 :Text; value @1 :Expression; }
struct Generator { target @0 :Expression; iterable @1 :Expression; conditions @2 :List(Expression); }
