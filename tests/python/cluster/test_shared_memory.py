"""Large buffers travel through shared memory, both ways, and nothing of it is left."""
import concurrent.futures
import gc
import os
import pickle

import pytest
import tasks
from watching import shared_objects, until

numpy = pytest.importorskip("numpy")

pytestmark = pytest.mark.usefixtures("no_leak")

MIB = 1 << 20


def total(array):
    return float(array.sum())


def mutate(array):
    array[0] = 99
    return float(array[0])


def make(n):
    return numpy.arange(n, dtype=numpy.float64)


def two_arrays(n):
    return {"a": numpy.ones(n), "b": [numpy.zeros(n), b"x" * n]}


def view_of(array):
    return array[1:3]


def fail_with(array):
    raise ValueError("with an array")


def die_with(array):
    os._exit(1)


def flags(array):
    return array.flags.writeable, array.flags.c_contiguous, array.flags.f_contiguous


def mapped_results():
    """Mappings of results in this process; their names are gone."""
    with open("/proc/self/maps") as maps:
        return sum(f"/dev/shm/epochly-{os.getuid()}-" in line for line in maps)


def mapped_from_shared_memory(array):
    """Whether the array's memory is a mapping of one of our objects."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if begin <= address < end:
                return "/dev/shm/epochly-" in line
    return False


def test_a_large_array_arrives_as_a_mapping_and_not_as_a_copy(client):
    assert client.submit(mapped_from_shared_memory, numpy.zeros(MIB)).result()
    assert not client.submit(mapped_from_shared_memory, numpy.zeros(100)).result()


def test_a_large_result_is_a_mapping_here(client):
    array = client.submit(make, MIB).result()
    assert mapped_from_shared_memory(array)
    assert (array == numpy.arange(MIB)).all()
    array[0] = 5  # it is ours


def test_its_name_is_gone_while_the_array_lives(client):
    array = client.submit(make, MIB).result()
    gc.collect()
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"epochly-{os.getuid()}-{os.getpid():08x}")]
    assert array[7] == 7


def test_a_result_waits_here_without_a_name_until_it_is_asked_for(client):
    before = shared_objects()
    future = client.submit(make, MIB)
    concurrent.futures.wait([future])
    assert shared_objects() <= before, "nobody can sweep what has no name"
    assert (future.result() == numpy.arange(MIB)).all()


def test_futures_that_nobody_reads_free_their_memory(client):
    def left(count):
        gc.collect()
        return until(lambda: mapped_results() == count, 5)  # who tells those that wait lets go a moment later

    assert left(0), "of the tests before"
    keeps_the_notifier = client.submit(tasks.sleep_then, 60, level=1)
    keeps_the_notifier.add_done_callback(lambda _: None)
    futures = [client.submit(make, MIB) for _ in range(10)]
    concurrent.futures.wait(futures)
    assert mapped_results() == 10
    del futures[5:]
    assert left(5)
    futures.clear()
    assert left(0)
    keeps_the_notifier.cancel()


def test_more_large_results_than_may_be_mapped_at_once_are_all_kept(script):
    """With few file descriptors too. MAPPED_REGIONS_MAX of ext/client_regions.h is 16384."""
    done = script("""
        import concurrent.futures, resource
        import numpy
        import epochly

        COUNT, MAPPED_MAX = 18_000, 16 * 1024
        SIZE = (64 << 10) // 8  # a result of so many doubles is just large enough

        def make(i):
            return numpy.full(SIZE, float(i))

        def mapped():
            with open("/proc/self/maps") as maps:
                return sum("/dev/shm/epochly-" in line for line in maps)

        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        with epochly.connect() as client:
            futures = [client.submit(make, i, level=0) for i in range(COUNT)]
            concurrent.futures.wait(futures)
            print("unread:", mapped() == MAPPED_MAX)
            print("right:", all((future.result() == i).all() for i, future in enumerate(futures)))
            print("read:", mapped() == MAPPED_MAX)
            del futures
            print("dropped:", mapped())
    """)
    assert done.stdout == "unread: True\nright: True\nread: True\ndropped: 0\n", done.stdout + done.stderr


def test_arrays_go_there_and_back(client):
    for shape in ((10,), (8191,), (8192,), (300, 400), (3, 0)):
        array = numpy.random.default_rng(1).random(shape)
        back = client.submit(tasks.identity, array).result()
        assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()


def test_fortran_order_and_views_keep_their_values(client):
    array = numpy.asfortranarray(numpy.arange(200_000.0).reshape(400, 500))
    assert client.submit(flags, array).result() == (True, False, True)
    assert client.submit(total, array[::2, ::3]).result() == float(array[::2, ::3].sum())
    assert (client.submit(view_of, array).result() == array[1:3]).all()


def test_what_a_task_writes_into_its_argument_stays_there(client, tmp_path):
    array = numpy.zeros(MIB)
    assert client.submit(mutate, array).result() == 99
    assert array[0] == 0


def test_a_retry_gets_the_arguments_as_they_were(client):
    array = numpy.zeros(MIB)
    future = client.submit(die_with, array, retries=2)
    assert future.exception() is not None and future.report().attempt == 3


def test_an_array_is_taken_as_it_is_at_submit(client):
    array = numpy.zeros(MIB)
    futures = []
    for i in range(3):
        array[:] = i
        futures.append(client.submit(total, array))
    assert client.gather(futures) == [0, MIB, 2 * MIB]


def test_several_buffers_in_one_value(client):
    result = client.submit(two_arrays, 100_000).result()
    assert result["a"].sum() == 100_000 and result["b"][0].sum() == 0 and result["b"][1] == b"x" * 100_000


def test_a_large_value_without_buffers_goes_through_shared_memory_too(client):
    data = bytes(40 * MIB)  # more than a message holds
    assert client.submit(len, data).result() == 40 * MIB
    assert client.submit(bytes, 40 * MIB).result() == data
    rows = [(i, str(i)) for i in range(200_000)]
    assert client.submit(tasks.identity, rows).result() == rows


def test_memoryviews_of_pickle_buffers_travel(client):
    assert bytes(client.submit(tasks.identity, pickle.PickleBuffer(b"y" * 100_000)).result()) == b"y" * 100_000


def test_nothing_is_left_by_failures_cancellations_and_forgotten_futures(client):
    array = numpy.zeros(MIB)
    for function in (fail_with, die_with):
        assert client.submit(function, array).exception() is not None
    client.submit(tasks.sleep_then, 60, array).cancel()
    for _ in range(5):
        client.submit(tasks.identity, array)  # nobody keeps it
    client.gather([client.submit(total, array)])


def test_nothing_is_left_by_a_client_that_is_closed_while_results_are_on_their_way(cluster):
    client = cluster.connect()
    array = numpy.zeros(MIB)
    for _ in range(20):
        client.submit(total, array)
    client.close()


@pytest.mark.parametrize("level", [0, 1])
def test_nothing_is_left_by_a_client_that_is_closed_while_arrays_are_on_their_way(cluster, level):
    for _ in range(3):
        client = cluster.connect()
        futures = [client.submit(make, MIB, level=level) for _ in range(20)]
        futures[0].result()
        client.close()


@pytest.mark.parametrize(
    "end", ["sys.exit()", "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_nothing_is_left_by_a_script_that_ends_while_arrays_are_on_their_way(script, end):
    done = script(f"""
        import os, signal, sys, time
        import epochly, numpy

        def make(seconds):
            time.sleep(seconds)
            return numpy.ones(1 << 20)

        client = epochly.connect()
        futures = [client.submit(make, i * 0.002) for i in range(20)]
        futures[0].result()
        print("some are on their way")
        {end}
        """, check=False)
    assert done.stdout == "some are on their way\n", done.stderr


def test_a_level_1_task_gets_its_arrays_too(client):
    array = numpy.arange(MIB)
    assert client.submit(total, array, level=1).result() == float(array.sum())
    assert (client.submit(make, MIB, level=1).result() == numpy.arange(MIB)).all()


def test_arrays_in_threads_while_others_are_freed(client):
    arrays = [client.submit(make, 100_000 + i) for i in range(40)]
    for i, future in enumerate(arrays):
        assert len(future.result()) == 100_000 + i
        arrays[i] = None
