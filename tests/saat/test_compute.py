"""How a training computes: what a device lacks, graphs, compiled networks, evaluations in fp32."""

import copy
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

import saat
from saat import compute, tensor_file
from saat.attacks import HAG
from saat.attacks.pgd import pgd
from saat.compute import Compute, uncompiled
from saat.defenses import DEFENSES, SaatSettings, SaatTraining, minimax
from saat.defenses.crdat import represent
from saat.errors import InputError
from saat.models import HashingNetwork
from saat.rectifiers import LeakyBackward
from tests import toy

CPU = torch.device("cpu")
COMPILED = Compute(compile="inductor")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def training_of(network: HashingNetwork, settings: SaatSettings | None = None) -> SaatTraining:
    data = toy.toy_data()
    device = next(network.parameters()).device
    objective = toy.toy_objective(data).to(device)
    return SaatTraining(network, objective, data, settings or SaatSettings(epochs=1, steps=2), 0)


def test_auto_is_float32_on_a_cpu_and_tf32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Compute.on(CPU) == Compute("fp32", "none")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert Compute.on(torch.device("cuda"), compile="graphs") == Compute("tf32", "graphs")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert Compute.on(torch.device("cuda")).precision == "fp32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision"),
        ({"compile": "jit"}, "compile"),
        ({"precision": "tf32"}, "precision: tf32: cpu has no TF32"),
        ({"compile": "graphs"}, "compile: graphs: cpu has no CUDA graphs"),
    ],
)
def test_train_refuses_what_the_device_lacks(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        saat.train(toy.toy_data(), device="cpu", **options)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"compile: inductor: no C\+\+ compiler \(no-such-compil"):
        Compute.on(CPU, compile="inductor")
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    with pytest.raises(InputError, match="Triton is not there"):
        Compute("fp32", "inductor").check(torch.device("cuda"))


def test_training_in_bf16_gives_another_model_than_fp32() -> None:
    options: dict[str, Any] = {"epochs": 1, "pretrain_epochs": 1, "options": {"steps": 1}}
    data = toy.toy_data()
    made = {
        p: saat.train(data, bits=8, device="cpu", precision=p, **options).state_dict()
        for p in ("auto", "fp32", "bf16")
    }
    weight = "hash_layer.weight"
    assert torch.equal(made["auto"][weight], made["fp32"][weight])
    assert not torch.equal(made["bf16"][weight], made["fp32"][weight])
    assert made["bf16"][weight].dtype == torch.float32


def dtypes_in(network: HashingNetwork, precision: str) -> set[torch.dtype]:
    """Types of the hash layer's outputs, through an attack and every encoding."""
    seen: set[torch.dtype] = set()
    protocol = saat.Protocol({"hag": HAG(steps=1)}, precision=precision)  # type: ignore[arg-type]
    with network.hash_layer.register_forward_hook(lambda layer, x, out: seen.add(out.dtype)):
        saat.evaluate(network, toy.toy_data(), protocol)
    return seen


def test_an_evaluation_is_in_fp32_whatever_is_around_it() -> None:
    network = toy.toy_network()
    with Compute("bf16").running(CPU):
        assert dtypes_in(network, "fp32") == {torch.float32}
    assert dtypes_in(network, "bf16") == {torch.bfloat16}


def test_an_attack_on_own_images_is_in_fp32() -> None:
    network, data, seen = toy.toy_network(), toy.toy_data(), set()
    images, labels = data.batch(data.test[:2]), data.label_tensor(data.test[:2])
    with (
        Compute("bf16").running(CPU),
        network.hash_layer.register_forward_hook(lambda layer, x, out: seen.add(out.dtype)),
    ):
        saat.attack("hag", network, images, labels, data, steps=1)
    assert seen == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("fp16", "protocol.precision"),
        ("tf32", "precision: tf32: cpu has no TF32"),
        ("bf16", "protocol.precision: bf16: only networks of this package"),
    ],
)
def test_a_precision_that_device_or_model_lacks_is_refused(precision: Any, message: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * toy.SIZE**2, 8))
    with pytest.raises(InputError, match=message):
        saat.evaluate(model, toy.toy_data(), saat.Protocol(precision=precision))


def feature_gradient(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    point = images.clone().requires_grad_(True)
    features = network(point)
    (gradient,) = torch.autograd.grad(features.square().sum(), point)
    return features.detach(), gradient


@pytest.fixture(params=["aot_eager", pytest.param("inductor", marks=pytest.mark.lengthy)])
def compiled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[HashingNetwork, HashingNetwork]:
    """A compiled network and its plain copy; ``aot_eager`` traces and needs no compiler."""
    monkeypatch.setattr(compute, "BACKEND", request.param)
    monkeypatch.setattr(compute, "VARIANTS", 4)
    network = toy.toy_network().eval()
    plain = copy.deepcopy(network)
    COMPILED.prepare(network)
    return network, plain


@pytest.mark.lengthy
def test_a_compiled_network_has_the_features_gradients_and_names_of_the_plain_one(
    compiled: tuple[HashingNetwork, HashingNetwork], tmp_path: Path
) -> None:
    network, plain = compiled
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    expected = feature_gradient(plain, images)
    for found, other in zip(feature_gradient(network, images), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)
    assert list(network.state_dict()) == list(plain.state_dict())
    stored = tensor_file.prefixed("network", network.state_dict())
    assert stored.keys() == tensor_file.prefixed("network", plain.state_dict()).keys()
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert type(again) is HashingNetwork
        torch.testing.assert_close(again(images), expected[0])


@pytest.mark.slow
def test_hooks_and_gradients_past_rectifiers_work_on_a_compiled_network(
    compiled: tuple[HashingNetwork, HashingNetwork],
) -> None:
    network, plain = compiled
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    feature_gradient(network, images)
    network(images)  # both kinds of calls are compiled before there are hooks
    for _ in range(6):  # each with hooks of its own, more than there may be variants
        for found, other in zip(represent(network, images), represent(plain, images), strict=True):
            torch.testing.assert_close(found, other)
        feature_gradient(LeakyBackward(network), images)
    leaky = [feature_gradient(LeakyBackward(net), images) for net in (network, plain)]
    for found, other in zip(*leaky, strict=True):
        torch.testing.assert_close(found, other)
    call = network._compiled_call_impl  # noqa: SLF001  torch has no public name for it
    with uncompiled(network):
        pass
    assert network._compiled_call_impl is call is not None  # noqa: SLF001


@pytest.mark.lengthy
def test_a_compiled_training_ends_near_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "BACKEND", "aot_eager")
    plain, network = toy.toy_network(), toy.toy_network()
    COMPILED.prepare(network)
    expected = training_of(plain).run_epoch()["train/loss"]
    assert training_of(network).run_epoch()["train/loss"] == pytest.approx(expected, rel=1e-3)


class Recorded:
    """Stands in for a CUDA graph, for batches of one shape."""

    made: ClassVar[list["Recorded"]]

    def __init__(self, attack: Callable[..., Tensor], *batch: Tensor) -> None:
        self.shape, self.calls = batch[0].shape, 0
        self.moved = float((attack(*batch) - batch[0]).abs().max())
        self.made.append(self)

    def __call__(self, images: Tensor, codes: Tensor, start: Tensor) -> Tensor:
        self.calls += 1
        return start.clamp(0, 1)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """All graphs that are captured from here on."""
    monkeypatch.setattr(Recorded, "made", [], raising=False)
    monkeypatch.setattr(minimax, "GraphedAttack", Recorded)
    return Recorded.made


def test_whole_batches_are_replayed_and_the_short_last_one_is_not(
    graphs: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = len(toy.toy_data().train)
    training = training_of(toy.toy_network(), SaatSettings(epochs=3, steps=1, batch_size=rows - 3))
    eager = Mock(side_effect=pgd)
    monkeypatch.setattr(minimax, "pgd", eager)
    Compute("tf32", "graphs").apply(training)
    training.run_epoch()
    training.run_epoch()
    (graph,) = graphs
    assert (graph.calls, eager.call_count) == (2, 3), "two short batches, and the capture"
    assert Compute("tf32", "graphs").used(training) == "graphs"
    training.split_batches(4)
    training.run_epoch()
    assert graph.calls == 2
    dropped = weakref.ref(graphs.pop())
    del graph
    assert dropped() is None, "its memory is free"
    assert Compute("tf32", "graphs").used(training) == "none"


def test_a_growing_ball_is_captured_anew_and_a_ball_of_full_size_is_kept(
    graphs: list[Recorded],
) -> None:
    settings = SaatSettings(epochs=3, steps=5, eps=0.06, step_size=0.03, eps_warmup=1)
    training = training_of(toy.toy_network(), settings)
    Compute("tf32", "graphs").apply(training)
    while not training.finished:
        training.run_epoch()
    assert [graph.moved for graph in graphs] == pytest.approx([0.03, 0.06])


@pytest.mark.parametrize("name", ["comdefend", "hm", "ca_tride"])
def test_a_training_without_a_maximisation_of_one_shape_has_nothing_to_replay(name: str) -> None:
    data = toy.toy_data()
    entry = DEFENSES[name]
    network = toy.toy_network()
    training = entry.training(network, toy.toy_objective(data), data, entry.settings(), 0)
    Compute("tf32", "graphs").apply(training)
    assert Compute("tf32", "graphs").used(training) == "none"


@needs_gpu
def test_a_training_with_graphs_ends_near_one_without() -> None:
    losses = []
    for compile in ("none", "graphs"):
        training = training_of(toy.toy_network().cuda())
        chosen = Compute("fp32", compile)
        chosen.apply(training)
        with chosen.running(torch.device("cuda")):
            losses.append(training.run_epoch()["train/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
