"""Seconds by stage: each second counts once."""

import threading
from collections.abc import Iterator

import pytest

from saat import stopwatch
from saat.stopwatch import Stage, Stopwatch, stage, total


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The present time, in a list of one."""
    now = [100.0]
    monkeypatch.setattr("saat.stopwatch.time.monotonic", lambda: now[0])
    yield now
    stopwatch.start()


def test_time_in_a_nested_stage_counts_for_that_stage_alone(clock: list[float]) -> None:
    watch = stopwatch.start()
    clock[0] += 1000
    with stage(Stage.VALIDATION):
        clock[0] += 1
        with stage(Stage.ENCODE):
            clock[0] += 10
            with stage(Stage.VALIDATION):
                clock[0] += 100
        clock[0] += 2
    clock[0] += 1000
    assert watch.lap() == {"validation": 103, "encode": 10}
    assert watch.lap() == {}


def test_a_lap_ends_within_a_stage_and_the_next_one_goes_on(clock: list[float]) -> None:
    watch = stopwatch.start()
    with stage(Stage.BATTERY):
        clock[0] += 3
        assert watch.lap() == {"battery": 3}
        clock[0] += 4
    assert watch.lap() == {"battery": 4}


def test_a_block_that_fails_is_counted_and_closed(clock: list[float]) -> None:
    watch = stopwatch.start()

    def failing() -> None:
        with stage(Stage.FILES):
            clock[0] += 5
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    clock[0] += 7
    assert watch.lap() == {"files": 5}


def test_other_threads_and_processes_without_a_stopwatch_count_nothing(clock: list[float]) -> None:
    watch = stopwatch.start()

    def work() -> None:
        with stage(Stage.CHECKPOINT):
            clock[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert watch.lap() == {}


def test_a_new_stopwatch_takes_over(clock: list[float]) -> None:
    first, second = stopwatch.start(), stopwatch.start()
    with stage(Stage.DECODE):
        clock[0] += 1
    assert (first.lap(), second.lap()) == ({}, {"decode": 1})


def test_seconds_measured_elsewhere_and_laps_add_up() -> None:
    watch = Stopwatch()
    watch.add(Stage.PRETRAINING, 2.0)
    watch.add(Stage.PRETRAINING, 0.5)
    assert total(watch.lap(), {"encode": 1.0}, {"pretraining": 1.0}) == {
        "pretraining": 3.5,
        "encode": 1.0,
    }
    assert total() == {}
