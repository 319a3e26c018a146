"""Batches that a thread reads ahead are the batches that would be read one by one."""

import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data.labelled_images import gather
from saat.models import encode
from saat.pretrain import Pretraining, PretrainSettings
from saat.reading import batches_for, read_ahead
from tests import toy


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("saat-images")]


def one(number: int) -> Tensor:
    return torch.full((2, 3), number, dtype=torch.uint8)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_batch_comes_once_and_in_order(count: int) -> None:
    assert [int(batch[0, 0]) for batch in read_ahead(one, range(count))] == list(range(count))
    assert not readers()


def test_the_next_batch_is_read_while_the_first_one_is_worked_on_and_no_more() -> None:
    read: list[int] = []
    second = threading.Event()

    def reading(number: int) -> Tensor:
        read.append(number)
        if number == 1:
            second.set()
        return one(number)

    with closing(read_ahead(reading, range(9))) as batches:
        next(batches)
        assert second.wait(10), "the caller works, and nobody reads"
        time.sleep(0.05)
        assert read == [0, 1]


def test_an_exception_of_the_reader_comes_in_its_turn_and_ends_the_thread() -> None:
    def broken(number: int) -> Tensor:
        if number == 2:
            raise OSError("the disk is gone")
        return one(number)

    batches = read_ahead(broken, range(5))
    assert [int(next(batches)[0, 0]) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not readers()


def test_a_caller_that_ends_early_leaves_no_thread() -> None:
    with closing(read_ahead(one, range(5))) as batches:
        next(batches)
        assert readers()
    assert not readers()


def test_a_network_on_the_cpu_has_no_thread_beside_it() -> None:
    with closing(batches_for(torch.device("cpu"), one, range(5))) as batches:
        next(batches)
        assert not readers()


def test_features_and_a_training_are_the_same_with_a_reading_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = toy.toy_data()

    def trained() -> tuple[Tensor, dict[str, Tensor]]:
        settings = PretrainSettings(epochs=2, batch_size=7)
        training = Pretraining(toy.toy_network(), toy.toy_objective(data), data, settings, seed=3)
        training.run_epoch()
        rows = data.database
        features = encode(training.network, lambda part: data.batch(rows[part]), len(rows), 11)
        return features, toy.snapshot(training.network)

    features, weights = trained()
    ahead = []

    def threaded(device: torch.device, read: object, parts: object) -> object:
        ahead.append(device)
        return read_ahead(read, parts)  # type: ignore[arg-type]

    monkeypatch.setattr("saat.models.network.batches_for", threaded)
    monkeypatch.setattr("saat.training.batches_for", threaded)
    again, same = trained()
    assert len(ahead) == 2
    assert torch.equal(features, again)
    assert not toy.differences(weights, same)
    assert not readers()


def test_an_epoch_that_is_ended_early_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saat.training.batches_for", lambda _, read, parts: read_ahead(read, parts))
    data = toy.toy_data()
    settings = PretrainSettings(epochs=1, batch_size=4)
    training = Pretraining(toy.toy_network(), toy.toy_objective(data), data, settings, seed=0)

    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run_epoch(stop)
    assert not readers()


@pytest.mark.parametrize("rows", [[3, 0, 3, 9], [], list(range(10))])
def test_gathered_rows_are_the_rows(rows: list[int], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    index = np.array(rows, dtype=np.int64)
    out = np.zeros((len(rows), 3, 4, 4), np.uint8)
    gather(mapped, index, out)
    assert np.array_equal(out, images[index])


@pytest.mark.parametrize("row", [-1, 10])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    images, out = np.zeros((10, 2), np.uint8), np.zeros((2, 2), np.uint8)
    with pytest.raises(IndexError, match="rows outside 0 to 9"):
        gather(images, np.array([0, row]), out)
