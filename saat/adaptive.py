"""Attacks that know the defense: gradients through randomness and through rounding.

A defense that draws noise or cannot be differentiated looks strong to an attack that does not take
that into account (Athalye et al., ICML 2018). Random networks get the expectation over their draws
(EOT), those that offer a differentiable stand-in (``surrogate()``) its backward pass (BPDA), those
whose rectifiers hide a part of the image a backward pass that sees through them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.attacks import ATTACKS, Attack
from saat.attacks.pgd import finite_gradient
from saat.errors import InputError, one_line
from saat.memory import is_out_of_memory, shrinking
from saat.models import device_of, evaluating, seeded_pass, to_float
from saat.rectifiers import LeakyBackward, has_rectifiers

# Forward passes behind one gradient of a randomised network.
EOT_PASSES = 8
# More than rounding (summation order on a GPU), as a share of the mean feature.
_NOISE = 1e-3
# Images that decide what a network is like.
INSPECTED = 16
# Exactly zero input gradients of clean images, as a fraction, from which on attacks see through
# rectifiers. On the way of an attack there are more of them.
_HIDDEN_SHARE = 0.02


@dataclass(frozen=True)
class ModelTraits:
    """What an attack has to know about a network.

    Attributes:
        randomised: two passes in evaluation mode differ, or it says so (``randomised``).
        zero_gradient: fraction of exactly zero input gradients; 1 where there is no gradient.
        surrogate: it offers a differentiable stand-in.
        differentiable: a backward pass reaches the images, whatever it brings there.
        obstacle: the error that kept it from them; empty where there was none.
    """

    randomised: bool
    zero_gradient: float
    surrogate: bool
    differentiable: bool = True
    obstacle: str = ""

    @property
    def no_gradients(self) -> str:
        """A clause: there are no input gradients, and why, if an error says it."""
        return f"no input gradients ({self.obstacle})" if self.obstacle else "no input gradients"

    @property
    def skipping(self) -> str:
        """A clause: why attacks by gradients are skipped."""
        return f"the network has {self.no_gradients}; it is left to noise, Square and transfer"

    @property
    def blind(self) -> bool:
        """Whether its own gradient says nothing."""
        return self.zero_gradient > 0.99


def model_traits(network: nn.Module, images: Tensor) -> ModelTraits:
    """Look at a network; ``images`` uint8 (Q, 3, H, W), of which a few are used."""
    few = images[:INSPECTED]
    if not len(few):
        return ModelTraits(randomised=False, zero_gradient=0.0, surrogate=False)
    with evaluating(network):
        # Memory that runs out must not pass for a network without a gradient.
        return shrinking(lambda count: _inspect(network, few[:count]), len(few))[0]


def _inspect(network: nn.Module, images: Tensor) -> ModelTraits:
    few = to_float(images, device_of(network))
    with torch.no_grad():
        first, second = (seeded_pass(network, few, "inspect", n) for n in range(2))
    differs = bool((first - second).abs().max() > _NOISE * first.abs().mean())
    gradient, obstacle = None, ""
    point = few.detach().requires_grad_(True)
    try:
        total = seeded_pass(network, point, "inspect", 0).abs().sum()
        if total.requires_grad:
            (gradient,) = torch.autograd.grad(total, point, allow_unused=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        obstacle = f"{type(error).__name__}: {one_line(error, 160)}"
    zero = 1.0 if gradient is None else float((finite_gradient(gradient) == 0).float().mean())
    return ModelTraits(
        randomised=differs or bool(getattr(network, "randomised", False)),
        zero_gradient=zero,
        surrogate=callable(getattr(network, "surrogate", None)),
        differentiable=gradient is not None,
        obstacle=obstacle,
    )


def runnable(
    attacks: Mapping[str, Attack], traits: ModelTraits, battery: bool
) -> Mapping[str, Attack]:
    """The attacks that a network leaves possible.

    An ``InputError`` if none is and no battery is run: its clean MAP would pass for robust.
    """
    if traits.differentiable:
        return attacks
    left = {name: attack for name, attack in attacks.items() if not attack.by_gradient}
    if attacks and not left and not battery:
        free = [name for name, kind in ATTACKS.items() if not kind.by_gradient]
        raise InputError(
            f"model: {traits.no_gradients}, which {', '.join(attacks)} need; attack it with "
            f"{', '.join(free)} or with a battery"
        )
    return left


class Adapted(nn.Module):
    """A network as an adaptive attack sees it.

    Without gradients: one pass, its draws from the seed ``draw``. With gradients: the mean over
    ``passes`` draws, a fresh set every call. If there is a stand-in (``surrogate``), the value is
    the network's and the derivative that of the stand-in.
    """

    # A fixed draw is one of a whole batch: an image's features depend on its place there.
    randomised = True

    def __init__(
        self, network: nn.Module, passes: int = 1, surrogate: nn.Module | None = None, draw: int = 0
    ) -> None:
        super().__init__()
        self.network = network
        self.surrogate_network = surrogate
        self._passes = passes
        self._draw = draw
        self._calls = 0

    def restart(self) -> None:
        """Begin the sequence of draws anew, so that an attack repeats itself."""
        self._calls = 0

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) → features (B, K)."""
        if not torch.is_grad_enabled():
            return seeded_pass(self.network, images, self._draw)
        self._calls += 1
        if self.surrogate_network is None:
            return self._mean(self.network, images)
        with torch.no_grad():
            value = self._mean(self.network, images)
        stand_in = self._mean(self.surrogate_network, images)
        return value + (stand_in - stand_in.detach())

    def _mean(self, network: nn.Module, images: Tensor) -> Tensor:
        draws = [
            seeded_pass(network, images, self._draw, self._calls, number)
            for number in range(self._passes)
        ]
        return torch.stack(draws).mean(0)


def gradient_networks_of(network: nn.Module, traits: ModelTraits) -> dict[str, nn.Module]:
    """Networks to take gradients of, by the suffix that they add to an attack's name, if any."""
    passes = EOT_PASSES if traits.randomised else 1
    out: dict[str, nn.Module] = {}
    if not traits.blind:
        out[""] = Adapted(network, passes) if traits.randomised else network
    if traits.surrogate:
        make: Callable[[], nn.Module] = network.surrogate  # type: ignore[assignment]
        out[".bpda"] = Adapted(network, passes, make())
    if traits.zero_gradient > _HIDDEN_SHARE and not traits.blind and has_rectifiers(network):
        leaky = LeakyBackward(network)
        out[".leaky"] = Adapted(leaky, passes) if traits.randomised else leaky
    return out
