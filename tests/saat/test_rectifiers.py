"""Gradients past rectifiers that are off: equal features, another derivative, stronger attacks."""

import pytest
import torch
from torch import nn

from saat.adaptive import ModelTraits, gradient_networks_of, model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import MainstayAttack
from saat.attacks.pgd import pgd
from saat.attacks.pgd_variants import BIM, DI
from saat.battery import run_battery
from saat.rectifiers import SLOPE, LeakyBackward, has_rectifiers
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import planted, toy
from tests.saat.test_battery import small

DATA = toy.toy_data()
NETWORK = toy.pretrained(DATA)
SLEEPY = planted.DeadZone(NETWORK)
THREAT = ThreatModel(8 / 255)


def victim(network: nn.Module) -> Victim:
    return Victim(network, DATA, "test", 50)


def gradient(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    point = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(point).sum(), point)
    return found


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("kind", "ceiling"), [(nn.ReLU, float("inf")), (nn.ReLU6, 6.0)])
def test_the_derivative_is_the_slope_where_a_rectifier_is_off(
    kind: type[nn.ReLU] | type[nn.ReLU6], ceiling: float, inplace: bool
) -> None:
    torch.manual_seed(0)
    weights = torch.randn(5, 4, dtype=torch.float64)
    last = torch.randn(5, dtype=torch.float64)
    layer = nn.Linear(4, 5, bias=False, dtype=torch.float64)
    layer.weight.data = weights
    network = nn.Sequential(layer, kind(inplace=inplace))
    x = 4 * torch.randn(7, 4, dtype=torch.float64)
    hidden = x @ weights.T
    assert (hidden > 6).any()
    assert (hidden < 0).any()
    on = ((hidden > 0) & (hidden < ceiling)).double()
    plain = ((on + SLOPE * (1 - on)) * last) @ weights
    leaky = LeakyBackward(network)
    torch.testing.assert_close(gradient(lambda y: leaky(y) @ last, x), plain)  # type: ignore[arg-type]
    assert torch.equal(leaky(x), network(x))


def test_the_network_itself_is_left_as_it_was() -> None:
    x = torch.rand(3, 3, toy.SIZE, toy.SIZE)
    before = gradient(SLEEPY, x)
    leaky = LeakyBackward(SLEEPY)
    assert not torch.equal(gradient(leaky, x), before)
    with pytest.raises(RuntimeError):
        leaky(x[:, :1, :1, :1].expand(3, 2, 1, 1))
    assert torch.equal(gradient(SLEEPY, x), before)
    assert all("forward" not in vars(module) for module in SLEEPY.modules())


def test_only_a_network_that_hides_a_part_of_the_image_is_seen_so() -> None:
    assert model_traits(SLEEPY, victim(SLEEPY).images).zero_gradient > 0.1
    assert list(gradient_networks_of(SLEEPY, model_traits(SLEEPY, victim(SLEEPY).images))) == [
        "",
        ".leaky",
    ]
    assert list(gradient_networks_of(NETWORK, model_traits(NETWORK, victim(NETWORK).images))) == [
        ""
    ]
    assert list(gradient_networks_of(SLEEPY, ModelTraits(False, 1.0, False))) == []
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    assert not has_rectifiers(linear)
    assert list(gradient_networks_of(linear, ModelTraits(False, 0.5, False))) == [""]


def test_an_attack_that_sees_through_them_finds_what_another_cannot() -> None:
    torch.manual_seed(1)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 6, bias=False))
    network = planted.DeadZone(linear)  # wide by 0.05 around gray
    images = 0.5 + 0.02 * torch.randn(4, 3, 8, 8).clamp(-2, 2)
    images[:, :, 0] = 0.6  # the only pixels with a gradient
    codes = network(images).detach().sign()

    def lost(seen: nn.Module) -> float:
        found = pgd(seen, images, lambda f, _: (f * codes).mean(1), ThreatModel(0.1), 20, 0.02)
        return float(((network(images) - network(found.images)) * codes).mean().detach())

    assert lost(LeakyBackward(network)) > 3 * lost(network) > 0


def test_the_battery_counts_it_among_the_worst_and_its_gate_is_content() -> None:
    result = run_battery(victim(SLEEPY), AttackRunner(THREAT), small(gates=("zero_gradient",)))
    names = {"apgd_mainstay.leaky", "apgd_smoothap.leaky", "apgd_margin_targeted.leaky"}
    assert names < set(result.attacks)
    assert bool((result.worst_ap <= result.attacks["apgd_mainstay.leaky"].ap).all())
    assert not result.unreliable
    assert result.attacks["apgd_mainstay"].zero_gradient > 0.1


@pytest.mark.parametrize("kind", [MainstayAttack, BIM, DI])
def test_published_attacks_can_see_through_them_too(kind: type[MainstayAttack]) -> None:
    plain = AttackRunner(THREAT).attack(victim(SLEEPY), "m", kind(steps=3))
    through = AttackRunner(THREAT).attack(victim(SLEEPY), "m", kind(steps=3, leaky=True))
    assert through.zero_gradient < 0.05 < plain.zero_gradient
