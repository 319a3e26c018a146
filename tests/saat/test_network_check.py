"""What a network has to be like before anything is measured on it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, MainstayAttack
from saat.battery import run_battery
from saat.errors import InputError
from saat.models import check_network
from saat.protocol import Protocol, evaluate, named_attacks
from saat.reliability import GateBudget
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import planted, toy
from tests.saat.test_battery import small

DATA = toy.toy_data()
NETWORK = toy.pretrained(DATA)
PROTOCOL = Protocol({"mainstay": MainstayAttack(steps=2)}, top_k=40)
IMAGES = DATA.batch(DATA.test)
THREAT = ThreatModel(8 / 255)


class Around(nn.Module):
    """The trained network with a function in its forward pass."""

    def __init__(self, forward: Callable[["Around", Tensor], Any]) -> None:
        super().__init__()
        self.network = NETWORK
        self.around = forward
        self.buffer = torch.empty(0)
        self.calls = 0

    def forward(self, images: Tensor) -> Any:
        return self.around(self, images)


def in_data(model: Around, images: Tensor) -> Any:
    images.data.sub_(0.5)
    return model.network(images + 0.5)


def in_place(model: Around, images: Tensor) -> Any:
    return model.network(images.sub_(0.5) + 0.5)


def emptied(model: Around, images: Tensor) -> Any:
    out = model.network(images)
    images.resize_(0)
    return out


def one_buffer(model: Around, images: Tensor) -> Any:
    features = model.network(images)
    if not model.buffer.numel():
        model.buffer = torch.empty(250, toy.BITS)
    model.buffer[: len(features)] = features
    return model.buffer[: len(features)]


def batch_statistics(model: Around, images: Tensor) -> Any:
    features = model.network(images)
    return nn.functional.batch_norm(features, None, None, training=True)


def stays_in_training(model: Around, images: Tensor) -> Any:
    model.network.train()
    try:
        return model.network(images)
    finally:
        model.network.eval()


REFUSED: dict[str, tuple[Callable[[Around, Tensor], Any], str]] = {
    "writes into images.data": (in_data, "changes its input"),
    "writes into images": (in_place, "changes its input"),
    "changes the shape of images": (emptied, "changes its input"),
    "one output buffer": (one_buffer, "changes what an earlier call returned"),
    "batch statistics": (batch_statistics, "depend on the other images of its batch"),
    "stays in training mode": (stays_in_training, "depend on the other images of its batch"),
    "tuple": (lambda m, x: (m.network(x), x), "is a tuple of 2, not a float tensor (B, K)"),
    "dict": (lambda m, x: {"hash": m.network(x)}, "is a dict with the keys hash, not a float"),
    "nothing": (lambda m, x: None, "is a NoneType, not"),
    "array": (lambda m, x: m.network(x).detach().numpy(), "is a ndarray, not"),
    "integers": (lambda m, x: m.network(x).sign().long(), "is torch.int64 (16, 12), not"),
    "booleans": (lambda m, x: m.network(x) > 0, "is torch.bool (16, 12), not"),
    "images": (lambda m, x: x, "is torch.float32 (16, 3, 16, 16), not"),
    "a vector": (lambda m, x: m.network(x).mean(1), "is torch.float32 (16,), not"),
    "transposed": (lambda m, x: m.network(x).T, "is torch.float32 (12, 16), not"),
    "no bits": (lambda m, x: m.network(x)[:, :0], "is torch.float32 (16, 0), not"),
    "squeezed": (lambda m, x: m.network(x).squeeze(), "is torch.float32 (12,), not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_measured_is_refused_in_one_line(name: str) -> None:
    forward, words = REFUSED[name]
    message = toy.raised(lambda: evaluate(Around(forward), DATA, PROTOCOL), InputError)
    assert message.startswith("model: ")
    assert words in message
    assert "\n" not in message


def test_an_error_of_the_network_is_told_with_its_kind() -> None:
    def fails(model: Around, images: Tensor) -> Any:
        return model.network(images.double())

    message = toy.raised(lambda: check_network(Around(fails), IMAGES), InputError)
    assert message.startswith("model: RuntimeError: ")
    assert "\n" not in message


def test_an_error_that_only_gradients_meet_is_told() -> None:
    def clamped(model: Around, images: Tensor) -> Any:
        return model.network(images.clamp_(0, 1))  # changes no image

    message = toy.raised(lambda: evaluate(Around(clamped), DATA, PROTOCOL), InputError)
    assert "no input gradients (RuntimeError: a leaf Variable that requires grad" in message


@pytest.mark.parametrize("attack", ["mainstay", "apgd_mainstay", "hag", "sdha", "vmi"])
def test_slopes_that_are_no_numbers_do_not_end_an_attack(attack: str) -> None:
    def rooted(model: Around, images: Tensor) -> Any:
        # Nothing is added, but the slope of the first row of pixels is 0 · ∞.
        nothing = (0 * images[:, :, :1]).sqrt().sum((1, 2, 3))
        return model.network(images) + nothing[:, None]

    attacks = named_attacks([attack], 6)
    broken = evaluate(Around(rooted), DATA, Protocol(attacks, top_k=40)).metrics()
    whole = evaluate(NETWORK, DATA, Protocol(attacks, top_k=40)).metrics()
    assert whole["robust_map"] < whole["clean_map"] - 0.2
    assert broken["robust_map"] < whole["robust_map"] + 0.1
    assert broken[f"zero_grad.{attack}"] > whole[f"zero_grad.{attack}"] + 0.9 / toy.SIZE


class Counting(planted.Wrapped):
    """Its features depend on how often it was called, and on nothing that a seed governs."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        sign = 1.0 if self.calls % 2 else -1.0
        return super().forward(images) * sign


@pytest.mark.parametrize("kind", [planted.NoisyInput, Counting])
def test_numbers_that_vary_are_marked_without_a_battery_too(kind: type[planted.Wrapped]) -> None:
    found = evaluate(kind(NETWORK), DATA, PROTOCOL)
    (reason,) = found.unreliable
    assert reason.startswith("deterministic: ")
    assert found.metrics()["gates_failed"] == 1
    assert not evaluate(NETWORK, DATA, PROTOCOL).gate_results


def returns_a_view(model: Around, images: Tensor) -> Any:
    model.network(images)
    return images.flatten(1)[:, : toy.BITS] - 0.5


def half_precision(model: Around, images: Tensor) -> Any:
    return model.network(images).bfloat16()


def double_precision(model: Around, images: Tensor) -> Any:
    return model.network(images).double()


def collapsed(model: Around, images: Tensor) -> Any:
    """What is left of its features is rounding, which differs with the batch."""
    return 1e-7 * model.network(images) + 1e-7 * len(images)


@pytest.mark.parametrize("forward", [returns_a_view, half_precision, double_precision])
def test_what_harms_no_number_is_measured(forward: Callable[[Around, Tensor], Any]) -> None:
    model = Around(forward).eval()
    found = evaluate(model, DATA, PROTOCOL)
    with torch.no_grad():
        codes = model(IMAGES.float() / 255) >= 0
    assert torch.equal(found.query_codes > 0, codes)
    assert float(found.attacks["mainstay"].ap.mean()) <= float(found.clean_ap.mean()) + 0.05


def test_a_training_that_collapsed_is_still_measured() -> None:
    check_network(Around(collapsed), IMAGES)


def test_memory_that_runs_out_is_no_fault_of_the_network() -> None:
    def small(model: Around, images: Tensor) -> Any:
        if len(images) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return model.network(images)

    check_network(Around(small), IMAGES)


def test_features_that_are_not_finite_are_left_to_who_encodes_all_images() -> None:
    check_network(Around(lambda model, images: model.network(images) * torch.nan), IMAGES)


def test_a_network_that_says_it_draws_numbers_may_depend_on_its_batch() -> None:
    """A fixed draw is one of a whole batch: an image gets the part at its place."""

    def placed(model: Around, images: Tensor) -> Any:
        return model.network(images) + torch.arange(len(images))[:, None]

    model = Around(placed)
    with pytest.raises(InputError, match="depend on the other images"):
        check_network(model, IMAGES)
    model.randomised = True  # type: ignore[assignment]
    check_network(model, IMAGES)


def test_looking_at_a_network_changes_no_random_state_and_no_mode() -> None:
    state = torch.get_rng_state()
    network = planted.NoisyInput(NETWORK).train()
    check_network(network, IMAGES)
    assert torch.equal(state, torch.get_rng_state())
    assert network.training
    check_network(NETWORK, IMAGES[:0])
    check_network(NETWORK, IMAGES[:1])


def test_features_that_stop_being_finite_under_attack_are_refused() -> None:
    class Overflows(planted.Wrapped):
        def forward(self, images: Tensor) -> Tensor:
            features = super().forward(images)
            noisy = images.amax((1, 2, 3), keepdim=False) == 1
            return torch.where(noisy[:, None], torch.nan, features)

    victim = Victim(NETWORK, DATA, "test", 40)
    victim.network = Overflows(NETWORK)
    white = torch.full_like(IMAGES, 255)
    message = toy.raised(lambda: victim.codes(white), InputError)
    assert message.startswith("model: features of 32 of 32 images are not finite")


# Networks without input gradients


@pytest.mark.parametrize("kind", [planted.Detached])
def test_attacks_by_gradients_are_skipped_where_there_are_none(
    kind: type[planted.Wrapped],
) -> None:
    attacks = {"mainstay": MainstayAttack(steps=2), "square": ATTACKS["square"](steps=5)}
    found = evaluate(kind(NETWORK), DATA, Protocol(attacks, top_k=40))
    assert list(found.attacks) == ["square"]
    assert list(found.skipped) == ["mainstay"]
    assert found.metrics()["attacks_skipped"] == 1
    assert "attacks_skipped" not in evaluate(NETWORK, DATA, PROTOCOL).metrics()
    alone = evaluate(NETWORK, DATA, Protocol({"square": attacks["square"]}, top_k=40))
    assert torch.equal(found.attacks["square"].ap, alone.attacks["square"].ap)


def test_a_clean_number_never_passes_for_a_robust_one() -> None:
    model = planted.Detached(NETWORK)
    message = toy.raised(lambda: evaluate(model, DATA, PROTOCOL), InputError)
    assert "no input gradients" in message
    assert "square" in message
    assert "\n" not in message
    assert not evaluate(model, DATA, Protocol({}, top_k=40)).attacks


def test_the_battery_says_what_it_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = small(
        gate_budget=GateBudget(12, (1.0,), 2, (1, 2), 2), gates=("budget", "differentiable")
    )
    monkeypatch.setattr("saat.protocol.BATTERIES", {"core": battery})
    found = run_battery(
        Victim(planted.Detached(NETWORK), DATA, "test", 40), AttackRunner(THREAT), battery
    )
    assert set(found.attacks) == {"noise", "square"}
    assert list(found.skipped) == list(battery.white_box)
    assert not run_battery(Victim(NETWORK, DATA, "test", 40), AttackRunner(THREAT), battery).skipped
    whole = evaluate(planted.Detached(NETWORK), DATA, PROTOCOL, battery="core")
    assert list(whole.attacks) == ["noise", "square"]
    assert list(whole.skipped) == [*PROTOCOL.attacks, *battery.white_box]
    probe = battery.white_box[battery.gate_attack]
    both = evaluate(
        planted.Detached(NETWORK), DATA, replace(PROTOCOL, attacks={battery.gate_attack: probe}),
        battery="core",
    )  # fmt: skip
    others = [name for name in battery.white_box if name != battery.gate_attack]
    assert set(both.skipped) == {battery.gate_attack, f"{battery.gate_attack}.battery", *others}
    assert any("differentiable" in reason for reason in whole.unreliable)


def test_rounded_images_leave_the_graph_whole_and_are_attacked() -> None:
    """A gradient that is there and zero is measured, as ever; ``zero_grad`` says so."""
    found = evaluate(planted.Rounded(NETWORK), DATA, PROTOCOL)
    assert not found.skipped
    assert found.metrics()["zero_grad.mainstay"] == 1


def test_a_source_without_gradients_is_refused() -> None:
    sources = {"flat": Victim(planted.Detached(NETWORK), DATA, "test", 40)}
    victim = Victim(NETWORK, DATA, "test", 40)
    message = toy.raised(
        lambda: run_battery(victim, AttackRunner(THREAT), small(), sources), InputError
    )
    assert message.startswith("source flat: no input gradients")


def test_every_attack_that_needs_no_gradient_says_so() -> None:
    victim = Victim(planted.Detached(NETWORK), DATA, "test", 40, limit=4)
    free = {name for name, attack in ATTACKS.items() if not attack.by_gradient}
    assert free == {"square", "rank_only"}
    for name in free:
        AttackRunner(THREAT).attack(victim, name, replace(ATTACKS[name](), steps=2))
    with pytest.raises(RuntimeError):
        AttackRunner(THREAT).attack(victim, "hag", replace(ATTACKS["hag"](), steps=2))
