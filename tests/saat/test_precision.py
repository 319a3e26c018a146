"""Named precisions: flags within, flags afterwards, and devices without them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from saat.defenses import SaatSettings, SaatTraining
from saat.errors import InputError
from saat.precision import PRECISIONS, Precision, check_precision, computing, default_precision
from saat.protocol import Protocol, evaluate, named_attacks
from saat.retrieval import average_precision
from tests import toy

CPU = torch.device("cpu")
GPU = torch.device("cuda")


def _flags() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark


# The flags of CUDA can be set on a machine without a GPU.
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
    before = _flags()

    def fail() -> None:
        with computing(precision, device):
            assert _flags() == within
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _flags() == before


def test_features_are_float32_in_bf16_and_near_those_of_fp32() -> None:
    network, images = toy.toy_network().eval(), torch.rand(8, 3, toy.SIZE, toy.SIZE)
    with torch.no_grad():
        exact = network(images)
        with computing("bf16", CPU):
            rough = network(images)
        after = network(images)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert torch.equal(after, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


def test_stored_attacks_of_one_precision_are_not_taken_for_another(tmp_path: Path) -> None:
    network, data = toy.toy_network(), toy.toy_data()
    kept = []
    for precision in ("fp32", "bf16"):
        protocol = Protocol(named_attacks(["hag"], 2), precision=precision)
        evaluate(network, data, protocol, limit=8, store=tmp_path)
        kept.append({path.name for path in tmp_path.glob("*.safetensors")})
    assert len(kept[0]) == 1
    assert len(kept[1]) == 2


def test_retrieval_is_exact_in_bf16() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 32, generator=generator).sign()
    labels = (torch.rand(300, 5, generator=generator) < 0.3).float()
    arguments = codes[:40], labels[:40], codes, labels
    exact = average_precision(*arguments)
    with computing("bf16", CPU):
        assert torch.equal(average_precision(*arguments), exact)


@pytest.mark.parametrize("physical_batch", [None, 8])
def test_an_epoch_in_bf16_ends_near_one_in_fp32(physical_batch: int | None) -> None:
    def trained(precision: Precision) -> tuple[float, Tensor]:
        data = toy.toy_data()
        settings = SaatSettings(epochs=1, steps=2)
        training = SaatTraining(toy.toy_network(), toy.toy_objective(data), data, settings, 0)
        if physical_batch:
            training.split_batches(physical_batch)
        with computing(precision, CPU):
            loss = training.run_epoch()["train/loss"]
        return loss, training.network.hash_layer.weight.detach()

    (exact, weight), (rough, rough_weight) = trained("fp32"), trained("bf16")
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)
    assert rough_weight.dtype == torch.float32
    torch.testing.assert_close(rough_weight, weight, atol=0.01, rtol=0.05)


@pytest.mark.parametrize(
    ("precision", "capability", "bf16", "problem"),
    [
        ("fp32", (7, 0), False, None),
        ("tf32", (7, 5), True, "precision: tf32: cuda has no TF32"),
        ("tf32", (8, 0), True, None),
        ("bf16", (7, 0), False, "precision: bf16: cuda has no bfloat16"),
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
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
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
    with pytest.raises(InputError, match="precision: tf32: cpu has no TF32"):
        check_precision("tf32", CPU)
