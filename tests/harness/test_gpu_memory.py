"""Memory of a real GPU: measured, limited, run out of, split."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.executors.footprint import measure_here
from harness.executors.packing import settings_to_measure
from harness.options import Options
from saat import memory
from saat.pretrain import Pretraining, PretrainSettings
from tests import toy
from tests.harness.tiny import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICE = torch.device("cuda")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A process with a twentieth of the GPU: its bytes."""
    monkeypatch.setattr(memory, "allowed_share", 1.0)
    memory.limit_share(DEVICE, 0.05)
    yield int(memory.allowed_share * torch.cuda.mem_get_info(DEVICE)[1])
    torch.cuda.set_per_process_memory_fraction(1.0, 0)


def test_a_share_is_a_limit_and_what_is_beyond_is_known_as_such(limited: int) -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError) as error:
        torch.empty(limited + 2**28, dtype=torch.uint8, device=DEVICE)
    assert memory.is_out_of_memory(error.value)
    before = memory.free_bytes(DEVICE)
    assert 0 < before <= limited
    taken = torch.empty(2**26, dtype=torch.uint8, device=DEVICE)
    assert memory.free_bytes(DEVICE) <= before - 2**26
    del taken, error
    memory.release()
    assert memory.free_bytes(DEVICE) == before


def test_work_shrinks_until_it_fits(limited: int) -> None:
    def work(size: int) -> int:
        return torch.empty(size * (limited // 40), dtype=torch.uint8, device=DEVICE).numel()

    done, size = memory.shrinking(work, 128)
    assert (done, size) == (32 * (limited // 40), 32)


def test_a_trial_is_measured(tmp_path: Path) -> None:
    experiment = tiny({"resources.gpus_per_trial": "auto"})
    configs = settings_to_measure(experiment, "search")
    found, (node,) = measure_here(configs, experiment, Options(tmp_path))
    assert 2**20 < found.peak < node.memory[0]
    assert 2**26 < found.context < node.memory[0] / 4
    larger = tiny({"resources.gpus_per_trial": "auto", "data.image_size": 64})
    configs = settings_to_measure(larger, "search")
    assert measure_here(configs, larger, Options(tmp_path))[0].peak > found.peak


def test_a_split_step_is_that_of_the_whole_batch() -> None:
    data = toy.toy_data()
    configs = PretrainSettings(epochs=1, lr=0.05, batch_size=48)
    grads = []
    for size in (None, 20):
        network = toy.toy_network().to(DEVICE)
        objective = toy.toy_objective(data).to(DEVICE)
        run = Pretraining(network, objective, data, configs, seed=0)
        if size is not None:
            run.split_batches(size)
        network.eval()  # batch norm alone would see the parts
        run.step(torch.arange(48), 0.05)
        grads.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(grads[0]) > 4
    for whole, split in zip(*grads, strict=True):
        torch.testing.assert_close(split, whole, rtol=1e-3, atol=1e-6)
