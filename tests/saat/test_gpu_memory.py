"""What is asked of a GPU's memory, without a GPU."""

import pytest
import torch

from saat import memory


@pytest.mark.parametrize(("name", "number"), [("cuda", 3), ("cuda:1", 1)])
def test_a_share_is_taken_of_a_gpu_with_and_without_a_number(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device of a run is plain "cuda", which PyTorch's own function refuses."""
    asked: list[tuple[float, int]] = []
    monkeypatch.setattr(memory, "_allowed", 1.0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**33))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(
        torch._C, "_cuda_setMemoryFraction", lambda *given: asked.append(given), raising=False
    )
    memory.limit_share(torch.device(name), 0.5)
    assert asked == [(0.5 - 512 * 2**20 / 2**33, number)]
