import asyncio
import json
import mmap
import pickle
import threading
import time

import pytest

import epochly
from epochly import _memory, _monitoring

FIGURES = {"cpu_time_ms", "wait_time_ms", "total_time_ms", "wall_time_ms", "memory_peak_mb", "memory_peak_source"}
MB = 1_000_000


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def touch(size):
    """Memory of so many bytes that is really there, and gone with the object: an allocator may keep what it is given back."""
    block = mmap.mmap(-1, size)
    for page in range(0, size, mmap.PAGESIZE):
        block[page] = 1
    return block


def test_a_busy_block_used_its_time_on_the_cpu():
    with epochly.monitoring_context() as metrics:
        busy(0.1)
    assert 100 <= metrics["cpu_time_ms"] <= metrics["total_time_ms"] <= metrics["wall_time_ms"]
    assert metrics["cpu_time_ms"] / metrics["total_time_ms"] > 0.8


def test_a_sleeping_block_waited():
    with epochly.monitoring_context() as metrics:
        time.sleep(0.1)
    assert metrics["wait_time_ms"] >= 90 and metrics["cpu_time_ms"] / metrics["total_time_ms"] < 0.3
    assert metrics["cpu_time_ms"] + metrics["wait_time_ms"] == pytest.approx(metrics["total_time_ms"])


def test_a_block_that_does_both_shows_both():
    with epochly.monitoring_context() as metrics:
        busy(0.05)
        time.sleep(0.05)
    assert metrics["cpu_time_ms"] >= 50 and metrics["wait_time_ms"] >= 40


def test_time_that_other_programs_took_is_no_waiting(monkeypatch):
    ready = 0
    monkeypatch.setattr(_monitoring, "_ready_ns", lambda: ready)
    with epochly.monitoring_context() as metrics:
        time.sleep(0.1)
        ready = 80_000_000  # as if so much of it had been spent ready to run, without a CPU
    assert metrics["wait_time_ms"] < 60 <= 100 <= metrics["wall_time_ms"]


def test_where_the_system_does_not_tell_that_time_it_is_part_of_the_wait(monkeypatch):
    monkeypatch.setattr(_monitoring, "_ready_ns", lambda: None)
    with epochly.monitoring_context() as metrics:
        time.sleep(0.02)
    assert metrics["total_time_ms"] == pytest.approx(metrics["wall_time_ms"])


def test_the_figures_can_be_read_inside_and_grow():
    with epochly.monitoring_context() as metrics:
        assert set(metrics) == FIGURES
        first = metrics["total_time_ms"]
        time.sleep(0.01)
        assert metrics.get("wall_time_ms") >= first + 10
        assert dict(metrics)["wall_time_ms"] <= {**metrics}["wall_time_ms"] <= metrics.copy()["wall_time_ms"]
        assert len(metrics) == len(FIGURES) and "cpu_time_ms" in metrics and metrics.get("nothing") is None
        assert "total_time_ms" in repr(metrics) and json.loads(json.dumps(dict(metrics)))
    after = dict(metrics)
    time.sleep(0.01)
    assert dict(metrics) == after


def test_afterwards_it_is_a_dict_like_any_other():
    with epochly.monitoring_context() as metrics:
        pass
    assert isinstance(metrics, dict) and set(metrics) == FIGURES
    assert json.loads(json.dumps(metrics)) == metrics == pickle.loads(pickle.dumps(metrics))
    with pytest.raises(KeyError):
        metrics["nothing"]
    metrics["mine"] = 1
    assert metrics["mine"] == 1


def test_an_exception_passes_and_the_figures_are_there():
    with pytest.raises(KeyError):
        with epochly.monitoring_context() as metrics:
            time.sleep(0.01)
            raise KeyError
    assert metrics["total_time_ms"] >= 9


def test_blocks_nest_and_one_context_can_be_used_again():
    context = epochly.monitoring_context()
    with context as outer:
        with context as inner:
            time.sleep(0.01)
        time.sleep(0.01)
    assert inner is not outer and outer["wall_time_ms"] >= inner["wall_time_ms"] + 10
    with context as again:
        pass
    assert again["wall_time_ms"] < inner["wall_time_ms"]


def test_a_block_left_on_another_thread_has_no_cpu_figures():
    context = epochly.monitoring_context()
    metrics = context.__enter__()
    thread = threading.Thread(target=context.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert "cpu_time_ms" not in metrics and "wait_time_ms" not in metrics and metrics["total_time_ms"] > 0


def test_the_cpu_of_other_threads_is_not_the_blocks():
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            time.sleep(0.0005)

    thread = threading.Thread(target=spin)
    thread.start()
    with epochly.monitoring_context() as metrics:
        time.sleep(0.1)
    stop.set()
    thread.join()
    assert metrics["cpu_time_ms"] < 30


def test_it_works_around_await():
    async def main():
        with epochly.monitoring_context() as metrics:
            await asyncio.sleep(0.02)
        return metrics

    assert asyncio.run(main())["wait_time_ms"] >= 15


# ---- memory ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["kernel", "sampled"])
def source(request, monkeypatch):
    """Both ways to find the peak; the second as where /proc/self/clear_refs cannot be written."""
    if request.param == "sampled":
        monkeypatch.setattr(_memory, "_CLEAR_REFS", "/nonexistent/clear_refs")
    elif not _memory._reset_mark():
        pytest.skip("/proc/self/clear_refs cannot be written here")
    return request.param


def test_the_peak_is_the_blocks_own(source):
    touch(150 * MB)  # before: must not count
    with epochly.monitoring_context() as small:
        time.sleep(0.02)
    with epochly.monitoring_context() as large:
        kept = touch(100 * MB)
        time.sleep(0.02)
        del kept
    assert small["memory_peak_source"] == large["memory_peak_source"] == source
    assert 90 < large["memory_peak_mb"] - small["memory_peak_mb"] < 130


def test_nested_blocks_have_each_their_own_peak(source):
    with epochly.monitoring_context() as outer:
        touch(120 * MB)
        with epochly.monitoring_context() as inner:
            kept = touch(30 * MB)
            time.sleep(0.02)
        del kept
        with epochly.monitoring_context() as second:
            time.sleep(0.02)
    if source == "kernel":
        assert outer["memory_peak_mb"] - inner["memory_peak_mb"] > 70
        assert inner["memory_peak_mb"] - second["memory_peak_mb"] > 20
    assert outer["memory_peak_mb"] >= inner["memory_peak_mb"]


def test_the_inner_blocks_peak_is_in_the_outers(source):
    with epochly.monitoring_context() as outer:
        with epochly.monitoring_context() as inner:
            kept = touch(80 * MB)
            time.sleep(0.02)
        del kept
    assert outer["memory_peak_mb"] >= inner["memory_peak_mb"] - 1


def test_the_peak_so_far_can_be_read_inside(source):
    with epochly.monitoring_context() as metrics:
        before = metrics["memory_peak_mb"]
        kept = touch(60 * MB)
        time.sleep(0.02)
        during = metrics["memory_peak_mb"]
        del kept
        assert metrics["memory_peak_mb"] >= during >= before + 50


def test_threads_in_blocks_at_once_all_see_the_processs_peak(source):
    barrier = threading.Barrier(4)
    peaks = []

    def block(first):
        with epochly.monitoring_context() as metrics:
            barrier.wait()
            if first:
                kept = touch(70 * MB)
                time.sleep(0.02)
                del kept
            barrier.wait()
        peaks.append(metrics["memory_peak_mb"])

    with epochly.monitoring_context() as base:
        time.sleep(0.02)
    threads = [threading.Thread(target=block, args=(i == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peaks) == 4 and min(peaks) > base["memory_peak_mb"] + 55


def test_many_blocks_leave_no_thread_and_no_open_block_behind(source):
    before = threading.active_count()
    for _ in range(20):
        with epochly.monitoring_context():
            pass
    assert threading.active_count() == before and _memory._open == []


def test_where_nothing_tells_the_memory_it_is_absent(monkeypatch):
    monkeypatch.setattr(_memory, "_CLEAR_REFS", "/nonexistent/clear_refs")
    monkeypatch.setattr(_memory, "_status_kib", lambda field: None)
    monkeypatch.setattr(_memory, "_mark_kib", lambda: None)
    with epochly.monitoring_context() as metrics:
        pass
    assert "memory_peak_mb" not in metrics and "memory_peak_source" not in metrics
