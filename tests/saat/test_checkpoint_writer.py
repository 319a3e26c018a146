"""Checkpoints that are written beside the training."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saat import checkpoints, tensor_file
from saat.checkpoints import CheckpointWriter
from saat.pretrain import Pretraining, PretrainSettings
from tests import toy

DATA = toy.toy_data()
ALWAYS = 1e-9  # a checkpoint after every epoch, beside the next one


def training(epochs: int = 4) -> Pretraining:
    settings = PretrainSettings(epochs=epochs, lr=0.02)
    return Pretraining(toy.toy_network(), toy.toy_objective(DATA), DATA, settings, seed=0)


def stored(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("epoch-")) for path in folder.glob("epoch-*"))


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "saat-checkpoint" in thread.name]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("saat.checkpoints.time.monotonic", lambda: now[0])
    return now


class Gate:
    """Holds the writer up until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        save = tensor_file.save

        def waiting(*given: Any) -> None:
            self.entered.set()
            assert self.opened.wait(30)
            save(*given)

        monkeypatch.setattr(tensor_file, "save", waiting)


def test_a_checkpoint_is_due_after_so_many_seconds_and_the_last_epoch_always(
    tmp_path: Path, clock: list[float]
) -> None:
    run, kept = training(epochs=7), []
    with CheckpointWriter(tmp_path, 60, lambda: None) as writer:
        while not run.finished:
            run.run_epoch()
            clock[0] += 25
            writer.finish_epoch(run, {})
            writer.go_on(run, {})
            checkpoint = checkpoints.newest(tmp_path)
            kept.append(checkpoint and checkpoint.stem)
    assert stored(tmp_path) == [6, 7]
    assert kept[:2] == [None, None]
    assert kept[6] == "epoch-00007"


def test_with_zero_seconds_every_epoch_is_durable_before_it_is_reported(tmp_path: Path) -> None:
    run = training()
    with CheckpointWriter(tmp_path, 0, lambda: None) as writer:
        for epoch in (1, 2):
            run.run_epoch()
            writer.finish_epoch(run, {})
            assert stored(tmp_path)[-1] == epoch
            writer.go_on(run, {})
            assert not writers()


def test_training_goes_on_meanwhile_and_the_file_has_the_epoch_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, run = Gate(monkeypatch), training()
    with CheckpointWriter(tmp_path, ALWAYS, lambda: None) as writer:
        run.run_epoch()
        writer.finish_epoch(run, {})
        expected = toy.snapshot(run.network)
        writer.go_on(run, {"note": "x"})
        assert gate.entered.wait(30)
        run.run_epoch()  # changes the weights in place
        gate.opened.set()
        writer.finish_epoch(run, {})
        assert stored(tmp_path) == [1], "nothing is being written while an epoch is reported"
    again = training()
    meta = checkpoints.restore_newest(again, tmp_path)
    assert meta == {"note": "x", "stage": "pretrain", "epoch": 1}
    assert not toy.differences(toy.snapshot(again.network), expected)
    again.run_epoch()
    assert not toy.differences(toy.snapshot(again.network), toy.snapshot(run.network))
    assert not writers()


def full(path: Path, *_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def written_beside(
    folder: Path, then: Callable[[Pretraining, CheckpointWriter], None], check: Any = lambda: None
) -> None:
    """Begin a checkpoint of the first epoch, and go on."""
    run = training()
    with CheckpointWriter(folder, ALWAYS, check) as writer:
        run.run_epoch()
        writer.finish_epoch(run, {})
        writer.go_on(run, {})
        then(run, writer)


def next_epoch(run: Pretraining, writer: CheckpointWriter) -> None:
    run.run_epoch()
    writer.finish_epoch(run, {})
    raise AssertionError("reported")


def ends(run: Pretraining, writer: CheckpointWriter) -> None:
    pass


def fails(run: Pretraining, writer: CheckpointWriter) -> None:
    raise KeyError("loss")


@pytest.mark.parametrize("then", [next_epoch, ends])
def test_a_full_disk_reaches_the_training_before_its_next_report_or_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Any
) -> None:
    monkeypatch.setattr(tensor_file, "save", full)
    with pytest.raises(OSError, match="No space left"):
        written_beside(tmp_path, then)
    assert not writers()


def test_a_training_that_fails_waits_for_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        written_beside(tmp_path, fails)
    assert stored(tmp_path) == [1]
    assert not writers()


def test_a_training_that_fails_keeps_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tensor_file, "save", full)
    with pytest.raises(KeyError):
        written_beside(tmp_path, fails)
    assert "checkpoint not written" in caplog.text


def test_whoever_lost_its_right_to_write_is_ended_before_the_write(tmp_path: Path) -> None:
    class Ended(BaseException):
        """Instead of the process."""

    def check() -> None:
        raise Ended

    with pytest.raises(Ended):
        written_beside(tmp_path, ends, check)
    assert stored(tmp_path) == []
