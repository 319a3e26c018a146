"""Named precisions: flags within, flags afterwards, and devices without them."""

import pytest
import torch

from saat.errors import InputError
from saat.precision import PRECISIONS, Precision, check_precision, computing, default_precision
from tests import toy

CPU = torch.device("cpu")
GPU = torch.device("cuda")


def _flags() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark


# The flags of CUDA can be set on a machine without a GPU.
@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize(
    ("precision", "device", "within"),
    [
        ("fp32", GPU, ("highest", False, True)),
        ("tf32", GPU, ("high", True, True)),
        ("bf16", GPU, ("high", True, True)),
        ("fp32", CPU, ("highest", False, False)),
        ("bf16", CPU, ("highest", False, False)),
    ],
)
def test_flags_are_those_of_the_precision_and_put_back_after_an_error(
    precision: Precision, device: torch.device, within: tuple[object, ...]
) -> None:
    before, autocast = _flags(), precision == "bf16" and device == CPU

    def fail() -> None:
        with computing(precision, device):
            assert _flags() == within
            assert torch.is_autocast_enabled("cpu") == autocast
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _flags() == before
    assert not torch.is_autocast_enabled("cpu")


def test_an_optimiser_may_change_weights_within_bf16() -> None:
    layer, images = torch.nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    with computing("bf16", CPU):
        first = layer(images)
        assert first.dtype == torch.bfloat16
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert float((layer(images) - first).detach()) == pytest.approx(1.0, abs=0.05)


def test_features_are_float32_in_bf16_and_near_those_of_fp32() -> None:
    network, images = toy.toy_network().eval(), torch.rand(8, 3, toy.SIZE, toy.SIZE)
    with torch.no_grad():
        exact = network(images)
        with computing("bf16", CPU):
            rough = network(images)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("precision", "capability", "bf16", "problem"),
    [
        ("fp32", (7, 0), False, None),
        ("tf32", (7, 5), True, "precision tf32: cuda has no TF32"),
        ("tf32", (8, 0), True, None),
        ("bf16", (7, 0), False, "precision bf16: cuda has no bfloat16"),
        ("bf16", (9, 0), True, None),
    ],
)
def test_a_gpu_without_a_precision_is_refused(
    precision: Precision,
    capability: tuple[int, int],
    bf16: bool,
    problem: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.device(CPU))
    assert default_precision(GPU) == ("tf32" if capability >= (8, 0) else "fp32")
    if problem is None:
        check_precision(precision, GPU)
    else:
        with pytest.raises(InputError, match=problem):
            check_precision(precision, GPU)


def test_a_cpu_has_all_but_tf32() -> None:
    assert PRECISIONS == ("fp32", "tf32", "bf16")
    assert default_precision(CPU) == "fp32"
    check_precision("fp32", CPU)
    check_precision("bf16", CPU)
    with pytest.raises(InputError, match="precision tf32: cpu has no TF32"):
        check_precision("tf32", CPU)
