"""Level 3 from the outside: loops that cannot be compiled run on several processes, and nobody can tell by what comes of them."""
import logging
import os
import random
import threading
import traceback

import bodies
import pytest

import epochly
from epochly.loops import judge

pytestmark = pytest.mark.usefixtures("eager")
HERE = os.getpid()


def ran(function):
    """(level, what was said of loops that stayed here). That it cannot be compiled is no news."""
    said = epochly.report(function)
    return said.level, [each for each in said.declined if "not compiled" not in each[1]]


def at3(function):
    return epochly.optimize(function, level=3)


def names(value):
    """Something that cannot be compiled."""
    return {"name": str(value), "pid": os.getpid()}


def away(found):
    """Whether some of it was made by other processes."""
    return any(each["pid"] != HERE for each in found)


def test_a_list_comprehension_runs_elsewhere_and_keeps_its_order():
    @at3
    def work(items):
        return [names(item) for item in items]

    found = work(range(50))
    assert [each["name"] for each in found] == [str(i) for i in range(50)]
    assert away(found)
    assert ran(work) == (3, [])


def test_a_loop_that_appends_does_so_in_order():
    @at3
    def work(items):
        found = []
        for at, item in enumerate(items):
            if item % 3:
                found.append((at, names(item)))
        return found, at, item

    found, at, item = work(list(range(30)))
    assert [(i, each["name"]) for i, each in found] == [(i, str(i)) for i in range(30) if i % 3]
    assert (at, item) == (29, 29)
    assert away([each for _, each in found])


def test_everything_an_iteration_does_to_the_outside_is_done_here_in_order():
    @at3
    def work(items):
        by_key, groups, total, largest, words, pids = {}, {}, 0, -1, "", set()
        for at, item in enumerate(items):
            value = names(item)
            by_key[value["name"]] = at
            groups.setdefault(item % 2, []).append(item)
            total += item
            largest = max(largest, item)
            words += value["name"] + " "
            pids.add(value["pid"])
        return list(by_key.items()), groups, total, largest, words, at, item, pids

    *found, pids = work([5, 3, 8, 6])
    assert tuple(found) == ([("5", 0), ("3", 1), ("8", 2), ("6", 3)], {1: [5, 3], 0: [8, 6]}, 22, 8, "5 3 8 6 ", 3, 6)
    assert len(pids) > 1
    assert ran(work) == (3, [])


def in_order(values):
    total = 0.0
    for value in values:
        total += value
    return total


def test_a_sum_of_floats_has_the_bits_of_plain_python():
    values = [1e16, 1.0, -1e16, 0.1, 3e-9] * 7

    @at3
    def work(items):
        total = 0.0
        for item in items:
            total += float(str(item))
        return total

    assert work(values) == in_order(values)
    assert ran(work)[0] == 3


@pytest.mark.parametrize("work, wanted", [
    (lambda items: {str(item) for item in items}, {"0", "1", "2", "3"}),
    (lambda items: {item: str(item) for item in items}, {0: "0", 1: "1", 2: "2", 3: "3"}),
    (lambda items: sum(len(str(item)) for item in items), 4),
    (lambda items: tuple(str(item) for item in items), ("0", "1", "2", "3")),
    (lambda items: list(map(str, items)), ["0", "1", "2", "3"]),
    (lambda items: list(map(names, items))[3]["name"], "3"),
    (lambda items: max(map(str, items)), "3"),
    (lambda items: [str(a) + str(b) for a, b in zip(items, items)], ["00", "11", "22", "33"]),
    (lambda items: [str(item) for item in items if item % 2], ["1", "3"]),
    (lambda items: sorted({str(a): [str(b) for b in range(a)] for a in items}), ["0", "1", "2", "3"]),
], ids=["set", "dict", "generator in sum", "generator in tuple", "map", "map of a function", "map in max", "unpacked", "condition",
        "comprehension inside"])
def test_other_expressions_that_loop(work, wanted):
    optimized = at3(work)
    assert optimized(range(4)) == wanted
    assert epochly.report(optimized).level == 3


def test_the_first_failing_index_raises_its_own_exception_with_the_users_lines(tmp_path):
    class Refused(Exception):
        pass

    def fetch(item):
        if item >= 20:
            raise Refused(item)
        return item

    found = []

    @at3
    def work(items, found):
        for item in items:
            found.append(fetch(item))

    with pytest.raises(Refused) as caught:
        work(range(100), found)
    assert type(caught.value) is Refused and caught.value.args == (20,)
    assert found == list(range(20))
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert "raise Refused(item)" in shown and "found.append(fetch(item))" in shown
    assert ran(work)[0] == 3


def test_an_iteration_that_exits_ends_the_loop_as_it_would_here():
    @at3
    def work(items):
        return [quit_at(item, 10) for item in items]

    with pytest.raises(SystemExit) as caught:
        work(range(20))
    assert caught.value.code == 7


def quit_at(item, last):
    if item == last:
        raise SystemExit(7)
    return str(item)


def test_a_stop_iteration_of_an_iteration_is_an_error_as_it_is_here():
    def stop(item):
        if item == 10:
            raise StopIteration(item)
        return str(item)

    @at3
    def work(items):
        found = []
        for item in items:
            found.append(stop(item))
        return found

    with pytest.raises(StopIteration):
        work(range(20))


def test_an_iteration_that_takes_its_process_down_is_a_typed_error_and_the_next_call_works():
    @at3
    def work(items, die_at):
        return [end_process(item, die_at) for item in items]

    with pytest.raises(epochly.ExecutorDied):
        work(range(20), 10)
    assert work(range(20), -1) == [str(i) for i in range(20)]
    assert epochly.report(work).level == 3


def end_process(item, die_at):
    if item == die_at and os.getpid() != HERE:
        os._exit(3)
    return str(item)


def test_what_is_printed_appears_in_the_order_of_the_iterations(capsys):
    def tell(item):
        print("inside", item)
        return str(item)

    @at3
    def work(items):
        found = []
        for item in items:
            print("before", item)
            found.append(tell(item))
            print("after", item)
        return found

    work(range(12))
    assert capsys.readouterr().out == "".join(f"before {i}\ninside {i}\nafter {i}\n" for i in range(12))
    assert ran(work) == (3, [])


def test_what_is_logged_reaches_this_processs_handlers_in_order_and_at_its_levels(caplog):
    def note(item):
        log.debug("not wanted %s", item)
        log.info("noted %s", item)
        if item == 3:
            try:
                raise KeyError(item)
            except KeyError:
                log.exception("failed")
        return str(item)

    log = logging.getLogger("epochly_test.notes")
    log.setLevel(logging.INFO)

    @at3
    def work(items):
        return [note(item) for item in items]

    work(range(8))
    noted = [each for each in caplog.records if each.name == log.name]
    assert [each.getMessage() for each in noted if each.levelno == logging.INFO] == [f"noted {i}" for i in range(8)]
    failed = [each for each in noted if each.levelno == logging.ERROR]
    assert len(failed) == 1 and "KeyError: 3" in failed[0].exc_text and failed[0].process != HERE
    assert ran(work) == (3, [])


def test_results_that_do_not_pickle_stay_here():
    @at3
    def work(items):
        return [threading.Lock() for item in items]

    assert len(work(range(10))) == 10
    level, declined = ran(work)
    assert level == 0
    assert "its results do not pickle" in declined[-1][1] or "its results do not pickle" in declined[0][1]


def test_items_that_do_not_pickle_stay_here_and_each_runs_once():
    calls = []

    class Note:
        pass

    def note(lock):
        return str(type(lock).__name__)

    @at3
    def work(items):
        return [note(item) for item in items]

    items = [1, 2, 3, threading.Lock(), 4, 5, 6]
    assert work(items) == ["int", "int", "int", "lock", "int", "int", "int"]
    assert calls == []


def test_a_closure_that_does_not_pickle_stays_here():
    lock = threading.Lock()

    @at3
    def work(items):
        return [str(item) + str(lock.locked()) for item in items]

    assert work(range(5)) == [f"{i}False" for i in range(5)]
    level, declined = ran(work)
    assert level == 0 and any("does not pickle" in why for _, why in declined)


def test_a_loop_that_is_too_small_stays_here_and_says_so(monkeypatch):
    monkeypatch.setattr(judge, "SECONDS_MIN", 10.0)

    @at3
    def work(items):
        return [names(item)["name"] for item in items]

    assert work(range(5)) == list("01234")
    level, declined = ran(work)
    assert level == 0
    assert any("too little to send" in why for _, why in declined)


def test_within_an_iteration_level_3_runs_where_it_is():
    @at3
    def work(items):
        return [inner(item) for item in items]

    found = work(range(8))
    assert [each for each, _ in found] == [[str(i)] * 5 for i in range(8)]
    assert all(len(pids) == 1 for _, pids in found[1:])


@epochly.optimize(level=3)
def inner(item):
    made = [(str(item), os.getpid()) for _ in range(5)]
    return [each for each, _ in made], {pid for _, pid in made}


@epochly.optimize(level=2)
def squares_below(limit):
    total = 0
    for number in range(limit):
        total += number * number
    return total


def test_decorated_functions_stay_what_they_are_in_other_processes():
    pytest.importorskip("epochly._jit")
    own = epochly.optimize(lambda limit: sum_to(limit), level=2)

    def both(limit):
        found = squares_below(limit), own(limit)
        return str(found), epochly.report(squares_below).level, epochly.report(own).level, os.getpid()

    found = at3(lambda limits: [both(limit) for limit in limits])(range(3, 23))
    assert [each[0] for each in found] == [str((sum(k * k for k in range(n)), sum(range(n)))) for n in range(3, 23)]
    assert {each[1:3] for each in found if each[3] != HERE} == {(2, 2)}


def sum_to(limit):
    total = 0
    for number in range(limit):
        total += number
    return total


class Row:
    def __init__(self, value):
        self.value, self.seen = value, 0

    def look(self):
        return str(self.value)

    def touch(self):
        self.seen += 1
        return str(self.value)


def change(row):
    row["seen"] = True
    return str(row)


counter = {"calls": 0}


def count(item):
    counter["calls"] += 1
    return str(item)


def total_of(item):
    global total
    total = str(item)
    return total


def draw(item):
    return str(random.random())


@pytest.mark.parametrize("work, items, why", [
    (lambda items: [change(item) for item in items], [{}, {}, {}], 'it changes `row[\'seen\']`'),
    (lambda items: [count(item) for item in items], range(5), "it changes `counter['calls']`"),
    (lambda items: [total_of(item) for item in items], range(5), "it may write `total`, which is global"),
    (lambda items: [row.touch() for row in items], [Row(1), Row(2), Row(3)], "it changes `self.seen`"),
    (lambda items: [names(item.append(1)) for item in items], [[], [], []], "`item.append()` changes"),
    (lambda items: [row.touch() for at, row in enumerate(items)], [Row(1), Row(2), Row(3)], "it changes `self.seen`"),
    (lambda items: [draw(item) for item in items], range(5), "`random.random()` draws"),
], ids=["argument", "global in place", "global", "method", "item", "method of a part of an item", "random numbers"])
def test_what_changes_its_surroundings_stays_here(work, items, why):
    optimized = at3(work)
    optimized(items)
    level, declined = ran(optimized)
    assert level == 0
    assert any(why in reason and "line " in reason for _, reason in declined), declined


def collatz(number):
    steps = 0
    while number != 1:
        if number % 2:
            number = 3 * number + 1
        else:
            number //= 2
        steps += 1
    return str(steps)


def doubled(values):
    values *= 2
    return str(values)


def test_a_parameter_that_is_changed_in_place_goes_by_its_type():
    numbers = at3(lambda items: [(collatz(item), os.getpid()) for item in items])
    found = numbers(range(1, 30))
    assert [each for each, _ in found] == [collatz(i) for i in range(1, 30)]
    assert ran(numbers) == (3, [])

    lists = at3(lambda items: [doubled(item) for item in items])
    items = [[i] for i in range(10)]
    assert lists(items) == [str([i, i]) for i in range(10)] and items == [[i, i] for i in range(10)]
    level, declined = ran(lists)
    assert level == 0 and any("it changes `values`, a list, in place" in why for _, why in declined)


def test_an_item_that_is_changed_in_place_goes_by_its_type():
    @at3
    def work(items, out):
        for item in items:
            item += item
            out.append((str(item), os.getpid()))

    out = []
    work([1, 2, 3, 4, 5], out)
    assert [each for each, _ in out] == ["2", "4", "6", "8", "10"] and ran(work) == (3, [])
    items = [[1], [2], [3], [4]]
    work(items, out)
    assert items == [[1, 1], [2, 2], [3, 3], [4, 4]] and ran(work)[0] == 0


def test_methods_that_only_look_run_elsewhere():
    @at3
    def work(rows):
        return [(row.look(), os.getpid()) for row in rows]

    found = work([Row(i) for i in range(20)])
    assert [each for each, _ in found] == [str(i) for i in range(20)]
    assert len({pid for _, pid in found}) > 1


def test_functions_see_globals_as_they_are_now(monkeypatch):
    monkeypatch.setitem(globals(), "setting", "changed")

    @at3
    def work(items):
        return [with_setting(item) for item in items]

    assert work(range(5)) == [f"changed {i}" for i in range(5)]
    assert ran(work)[0] == 3


setting = "as imported"


def with_setting(item):
    return f"{setting} {item}"


def test_functions_see_this_processs_folder_and_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPOCHLY_TEST_VALUE", "here")

    @at3
    def work(items):
        return [(os.getcwd(), os.environ.get("EPOCHLY_TEST_VALUE"), os.getpid()) for item in items]

    found = work(range(6))
    assert {each[:2] for each in found} == {(str(tmp_path), "here")}
    assert len({each[2] for each in found}) > 1


def test_in_a_context_undecorated_functions_run_elsewhere():
    def work(items):
        return [names(item) for item in items]

    with epochly.optimize_context(level=3):
        found = work(range(20))
    assert away(found)


def test_a_generator_is_read_in_order_and_its_own_error_comes_last():
    def numbers():
        yield from range(10)
        raise KeyError("end")

    seen = []

    @at3
    def work(items, seen):
        for item in items:
            seen.append(str(item))

    with pytest.raises(KeyError):
        work(numbers(), seen)
    assert seen == [str(i) for i in range(10)]


def test_a_contexts_own_loop_runs_elsewhere():
    found, context = bodies.appended(range(20))
    assert [each["name"] for each in found] == [str(i) for i in range(20)]
    assert away(found)
    assert (context.ran, context.declined) == (3, [])


def test_a_contexts_own_loop_that_stays_here_runs_once(monkeypatch):
    monkeypatch.setattr(judge, "SECONDS_MIN", 10.0)
    calls = []
    found, context = bodies.appended(items_once(calls, 5))
    assert [each["name"] for each in found] == list("01234")
    assert calls == [0, 1, 2, 3, 4]
    assert context.ran == 0 and any("too little to send" in why for _, why in context.declined)


def items_once(calls, count):
    for item in range(count):
        calls.append(item)
        yield item


@pytest.mark.parametrize("work, part", [
    (lambda rows: [row for row in rows if names(row)], None),
    (lambda rows: [(names(row)["pid"], row) for row in rows], 1),
    (lambda rows: [row for _, row in enumerate(rows) if names(row)], None),
    (lambda rows: list({str(at): row for at, row in enumerate(rows)}.values()), None),
], ids=["items", "in tuples", "parts of items", "values of a dict"])
def test_items_that_come_back_are_the_items(work, part):
    rows = [[i] for i in range(12)]
    optimized = at3(work)
    found = [each if part is None else each[part] for each in optimized(rows)]
    assert all(a is b for a, b in zip(found, rows)) and len(found) == 12
    assert ran(optimized) == (3, [])
