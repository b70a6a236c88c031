"""Level 1 from the outside: decorated functions whose iterations wait side by side."""
import queue
import threading
import traceback

import pytest
from together import convene, meet

import epochly


def ran(function):
    return epochly.report(function).level, epochly.report(function).declined


def test_a_list_comprehension_waits_side_by_side_and_keeps_its_order():
    @epochly.optimize(level=1)
    def work(items):
        return [meet(item) * 10 for item in items]

    assert work(range(8)) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert ran(work) == (1, [])
    assert list(epochly.report(work).timings) == [1]


def test_a_loop_that_appends_does_so_in_order():
    @epochly.optimize(level=1)
    def work(items):
        found = ["first"]
        for item in items:
            found.append(meet(item))
        return found

    assert work("abcd") == ["first", "a", "b", "c", "d"]
    assert ran(work) == (1, [])


def test_everything_an_iteration_does_to_the_outside_is_done_in_order():
    @epochly.optimize(level=1)
    def work(items):
        by_key, groups, total, largest, words = {}, {}, 0, -1, ""
        for at, item in enumerate(items):
            value = meet(item)
            by_key[value] = at
            groups.setdefault(value % 2, []).append(value)
            total += value
            largest = max(largest, value)
            words += f"{value} "
        return list(by_key.items()), groups, total, largest, words, at, item

    assert work([5, 3, 8, 6]) == ([(5, 0), (3, 1), (8, 2), (6, 3)], {1: [5, 3], 0: [8, 6]}, 22, 8, "5 3 8 6 ", 3, 6)
    assert ran(work) == (1, [])


def test_a_sum_of_floats_has_the_bits_of_plain_python():
    def work(items):
        total = 0.0
        for item in items:
            total += meet(item)
        return total

    values = [1e16, 1.0, -1e16, 0.1]
    assert epochly.optimize(work, level=1)(values) == sum_in_order(values)


def sum_in_order(values):
    total = 0.0
    for value in values:
        total += value
    return total


@pytest.mark.parametrize("work, wanted", [
    (lambda items: {meet(item) for item in items}, {0, 1, 2, 3}),
    (lambda items: {item: meet(item) for item in items}, {0: 0, 1: 1, 2: 2, 3: 3}),
    (lambda items: sum(meet(item) for item in items), 6),
    (lambda items: tuple(meet(item) for item in items), (0, 1, 2, 3)),
    (lambda items: list(map(meet, items)), [0, 1, 2, 3]),
    (lambda items: max(map(meet, items)), 3),
    (lambda items: [meet(a + b) for a, b in zip(items, items)], [0, 2, 4, 6]),
    (lambda items: [item for item in items if meet(item) % 2], [1, 3]),
], ids=["set", "dict", "generator in sum", "generator in tuple", "map", "map in max", "unpacked", "condition"])
def test_other_expressions_that_loop(work, wanted):
    optimized = epochly.optimize(work, level=1)
    assert optimized(range(4)) == wanted
    assert ran(optimized) == (1, [])


def test_the_first_failing_index_raises_its_own_exception_from_its_own_line():
    class Refused(Exception):
        pass

    def fetch(item):
        meet(item)
        if item >= 2:
            raise Refused(item)
        return item

    @epochly.optimize(level=1)
    def work(items):
        found = []
        for item in items:
            found.append(fetch(item))  # this line
        return found

    with pytest.raises(Refused) as caught:
        work(range(4))
    assert caught.value.args == (2,)
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "found.append(fetch(item))  # this line" in lines and "raise Refused(item)" in lines


def test_what_iterations_did_before_the_one_that_fails_stays_done():
    found, failed = [], []

    def fetch(item):
        meet(item)
        if item == 2:
            raise KeyError(item)
        return item

    @epochly.optimize(level=1)
    def work(items):
        try:
            for at, item in enumerate(items):  # noqa: B007
                found.append(-item)
                found.append(fetch(item))
        except KeyError:
            failed.append(at)

    work(range(4))
    assert (found, failed) == ([0, 0, -1, 1, -2], [2])


def test_no_iteration_begins_once_a_failure_is_known():
    began = queue.SimpleQueue()

    def fetch(item):
        began.put(item)
        if item == 0:
            raise ValueError
        return meet(item)

    @epochly.optimize(level=1)
    def work(items):
        return [fetch(item) for item in items]

    with pytest.raises(ValueError):
        work(range(1000))
    items = [began.get() for _ in range(began.qsize())]
    assert len(items) < 1000 and len(set(items)) == len(items)


def accumulate(items):
    total = 1
    for item in items:
        total = meet(total + item)
    return total


def stops(items):
    for item in items:
        if meet(item):
            break


def writes_a_global(items):
    global shared_total
    for item in items:
        shared_total += meet(item)


def pops(stack):
    return [meet(stack.pop()) for _ in range(3)]


def looks_before_it_adds(items):
    seen = set()
    for item in items:
        if meet(item) not in seen:
            seen.add(item)


@pytest.mark.parametrize("work, says", [
    (accumulate, "line {3}: `total` is carried from one iteration to the next"),
    (stops, "line {3}: `break` leaves the loop; further iterations might never run"),
    (writes_a_global, "line {2}: it writes `shared_total`, which is global"),
    (pops, "line {1}: `stack.pop()` changes what the iterations share"),
    (looks_before_it_adds, "line {4}: `seen.add()` changes what the iterations share"),
])
def test_what_iterations_would_share_declines_with_its_line(work, says):
    global shared_total
    convene(1)
    shared_total = 0
    first = work.__code__.co_firstlineno
    plain = work([1, 2, 3])
    optimized = epochly.optimize(work, level=1)
    assert optimized([1, 2, 3]) == plain
    offset = int(says[says.index("{") + 1:says.index("}")])
    assert ran(optimized) == (0, [(1, says.replace(f"{{{offset}}}", str(first + offset)))])


counter = 0
seen_by_all = []


def counts(item):
    global counter
    counter += 1
    return meet(item)


def remembers(item):
    seen_by_all.append(item)
    return meet(item)


class Client:
    calls = 0

    def fetch(self, item):
        self.calls += 1
        return meet(item)


a_client = Client()
a_generator = (meet(item) for item in range(3))


def append_to(box, item):
    box.append(meet(item))


def through(item):
    return counts(item)


@pytest.mark.parametrize("work, says", [
    (lambda items: [counts(item) for item in items], "counts() writes `counter`"),
    (lambda items: [through(item) for item in items], "counts() writes `counter`"),
    (lambda items: [remembers(item) for item in items], "remembers() changes `seen_by_all`"),
    (lambda items, box=(seen_by_all,): [append_to(box[0], item) for item in items], "append_to() changes `box`"),
    (lambda items, client=a_client: [client.fetch(item) for item in items], "client.fetch() changes the object it belongs to"),
    (lambda items, some=a_generator: [next(some, item) for item in items], "`next()` changes `some`"),
], ids=["global", "two calls deep", "container", "argument", "object", "iterator"])
def test_what_the_called_functions_share_declines_with_their_line(work, says):
    convene(1)
    optimized = epochly.optimize(work, level=1)
    optimized([1, 2, 3])
    level, declined = ran(optimized)
    assert level == 0 and says in declined[0][1]


def test_a_sqlite_connection_stays_on_its_thread():
    import sqlite3

    db = sqlite3.connect(":memory:")

    @epochly.optimize(level=1)
    def query_db(queries):
        return [db.execute(query).fetchone() for query in queries]

    assert query_db(["select 1", "select 2"]) == [(1,), (2,)]
    line = query_db.__code__.co_firstlineno + 2
    assert ran(query_db) == (0, [(1, f"line {line}: `db` is a sqlite3 Connection, which only the thread that made it may use")])


def test_a_function_keeps_its_defaults_closure_and_private_names():
    class Api:
        def __init__(self):
            self.__prefix = ">"

        def __fetch(self, item):
            return self.__prefix + meet(item)

        @epochly.optimize(level=1)
        def all(self, items, *more, end="!", **names):
            return [self.__fetch(item) + end for item in items] + [more, names]

    assert Api().all("abcd", 1, end="?", x=2) == [">a?", ">b?", ">c?", ">d?", (1,), {"x": 2}]
    assert ran(Api.all) == (1, [])


def test_undecorated_functions_named_in_a_context_are_spread():
    def work(items):
        return [meet(item) for item in items]

    with epochly.optimize_context(level=1):
        found = work(range(4))
    assert found == [0, 1, 2, 3]


def test_set_level_reaches_decorated_functions():
    @epochly.optimize
    def work(items):
        return [meet(item) for item in items]

    epochly.set_level(1)
    try:
        assert work(range(4)) == [0, 1, 2, 3]
    finally:
        epochly.set_level(0)
    assert ran(work) == (1, [])


def test_iterations_run_on_threads_with_a_name_of_ours():
    @epochly.optimize(level=1)
    def work(items):
        return [(meet(item), threading.current_thread().name) for item in items]

    assert {name.rpartition("-")[0] for _, name in work(range(8))} == {"epochly-io"}


def test_a_loop_that_runs_at_two_levels_is_learned_for_each():
    def work(items):
        return [meet(item) for item in items]

    for level in (3, 1, 3, 1):
        convene(4 if level == 1 else 1)
        with epochly.optimize_context(level=level):
            assert epochly.optimize(work)(range(4)) == [0, 1, 2, 3]
