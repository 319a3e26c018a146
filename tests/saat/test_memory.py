"""Memory that runs out: how it is known, and what an evaluation does then."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import HAG, MainstayAttack
from saat.attacks.noise import Noise
from saat.evaluation import Evaluation
from saat.memory import is_out_of_memory, shrinking
from saat.models import HashingNetwork
from saat.protocol import Protocol, evaluate
from tests import toy

pytestmark = pytest.mark.usefixtures("quick_collection")

DATA = toy.toy_data()


@pytest.fixture(scope="module")
def trained() -> HashingNetwork:
    """A briefly pretrained network; tests must leave it as it is."""
    return toy.pretrained(DATA)


@contextmanager
def scarce(network: nn.Module, most: int, error: type[Exception]) -> Iterator[list[int]]:
    """Memory for ``most`` images at once; the sizes of passes that did not fit."""
    refused: list[int] = []

    def check(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > most:
            refused.append(len(inputs[0]))
            raise error("CUDA out of memory. Tried to allocate 20.00 MiB")

    hook = network.register_forward_pre_hook(check)
    yield refused
    hook.remove()


def evaluated(network: nn.Module, queries: int = 100) -> Evaluation:
    attacks = {"mainstay": MainstayAttack(steps=2), "hag": HAG(steps=2), "noise": Noise(restarts=2)}
    data = replace(DATA, test=np.arange(60, 60 + queries))
    return evaluate(network, data, Protocol(attacks, top_k=50))


def test_an_evaluation_that_runs_out_of_memory_finds_the_same(trained: HashingNetwork) -> None:
    expected = evaluated(trained)
    with scarce(trained, 40, torch.cuda.OutOfMemoryError) as refused:
        found = evaluated(trained)
    # 96 training images, the database and 100 queries are encoded. Every attack begins with
    # 128 queries and ends with 32; noise asks the network nothing. What they leave is encoded, and
    # each of the two restarts of noise.
    assert refused == [96, 48, 160, 80, 100, 50, *[128, 64, 100, 50] * 2, *[100, 50] * 3]
    assert found.metrics() == expected.metrics()
    assert torch.equal(found.clean_ap, expected.clean_ap)
    for name, result in expected.attacks.items():
        assert torch.equal(found.attacks[name].images, result.images)
        assert torch.equal(found.attacks[name].restart, result.restart)


def test_an_evaluation_goes_down_to_one_query_and_then_gives_up(trained: HashingNetwork) -> None:
    expected = evaluated(trained, queries=12).metrics()
    with scarce(trained, 1, torch.cuda.OutOfMemoryError):
        found = evaluated(trained, queries=12).metrics()
    assert found == pytest.approx(
        expected, abs=0.02
    )  # rounding may turn a pixel, and with it a bit
    with (
        scarce(trained, 0, torch.cuda.OutOfMemoryError) as refused,
        pytest.raises(torch.cuda.OutOfMemoryError),
    ):
        evaluated(trained)
    assert refused[-1] == 1
    with scarce(trained, 40, ValueError) as refused, pytest.raises(ValueError, match="20"):
        evaluated(trained)
    assert len(refused) == 1  # any other error is no reason to try again


def test_what_running_out_of_memory_looks_like() -> None:
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(2**60)
    with pytest.raises(MemoryError) as host:
        np.empty(2**50)
    for error in (
        cpu.value,
        host.value,
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ):
        assert is_out_of_memory(error)
    for other in (
        RuntimeError("shape mismatch"),
        ValueError("CUDA out of memory"),
        OSError(28, ""),
    ):
        assert not is_out_of_memory(other)


def test_half_the_size_until_it_fits() -> None:
    tried: list[int] = []

    def fits(size: int) -> str:
        tried.append(size)
        if size > 3:
            raise MemoryError
        return "done"

    assert shrinking(fits, 100) == ("done", 2)
    assert tried == [100, 50, 25, 13, 7, 4, 2]
