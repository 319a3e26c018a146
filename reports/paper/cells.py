"""Where a number of the paper stands: its coordinates, and the setting that has to be trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

TARGETED = ("p2p", "dhta", "prosgan", "tha", "mainstay_targeted")
NO_ATTACK = "none"
STEPS = 100  # iterations of the protocol, of attacks that have none of their own
THEORY = "theory"
# Measure of Table VII → the metric of an attack, and the factor that the paper prints it with.
PERCEPTIBILITY = {
    "linf_matrix_norm": ("matrix_linf", 1.0),
    "l2_matrix_norm": ("matrix_l2", 1.0),
    "mse_1e-4": ("mse", 1e4),
}


@dataclass(frozen=True)
class Setting:
    """What is trained; ``backbone`` is the paper's, for which a scale may have a stand-in.

    ``weights`` are λ and μ where a figure varies them.
    """

    defense: str
    hashing: str
    backbone: str
    bits: int
    weights: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Its name under ``compare`` in an experiment, and its role in the tables of a run."""
        text = f"{self.defense} {self.hashing} {self.backbone} {self.bits} bits"
        if self.weights is not None:
            text += " lambda={:g} mu={:g}".format(*self.weights)
        return text


@dataclass(frozen=True)
class Cell:
    """The coordinates of one number.

    Attributes:
        setting: of the model.
        attack: its name here; ``none`` for benign queries.
        measure: ``map`` (t-MAP of a targeted attack), ``theory``, ``map_percent`` or a key of
            :data:`PERCEPTIBILITY`.
        iterations: of the attack; ``theory`` for its representative code. None: the protocol's.
    """

    setting: Setting
    attack: str
    measure: str = "map"
    iterations: int | str | None = None

    @property
    def steps(self) -> int | None:
        """Iterations that the attack must have been given; None for its usual ones."""
        return self.iterations if isinstance(self.iterations, int) else None

    @property
    def metric(self) -> tuple[str, float]:
        """Plain name of the metric, and the factor from it to the paper's unit."""
        if self.attack == NO_ATTACK:
            return "clean_map", 100.0
        if self.measure == THEORY:
            return f"theory.{self.attack}", 100.0
        if self.measure in PERCEPTIBILITY:
            name, factor = PERCEPTIBILITY[self.measure]
            return f"{name}.{self.attack}", factor
        kind = "tmap" if self.attack in TARGETED else "map"
        return f"{kind}.{self.attack}", 100.0

    @property
    def is_percent(self) -> bool:
        """Whether the number is a percentage, to which the tolerance of a run applies."""
        return self.measure not in PERCEPTIBILITY


def cell_at(coordinates: Mapping[str, Any]) -> Cell:
    """The cell of a table's coordinates, such as ``{"attack": "hag", "bits": 32, …}``."""
    given = dict(coordinates)
    lambda_, mu = given.pop("lambda", None), given.pop("mu", None)
    weights = None if lambda_ is None else (float(lambda_), float(mu))
    own = {key: given.pop(key) for key in ("defense", "hashing", "backbone", "bits")}
    setting = Setting(**own, weights=weights)
    cell = Cell(setting, given.pop("attack"), given.pop("measure"), given.pop("iterations", None))
    if given:
        raise ValueError(f"coordinates {', '.join(given)}: not known")
    return _usual(cell)


def _usual(cell: Cell) -> Cell:
    """The cell as its source has it: no attack of 0 iterations, the protocol's own without them."""
    if cell.iterations == 0:
        return replace(cell, attack=NO_ATTACK, iterations=None)
    if cell.iterations == STEPS:
        return replace(cell, iterations=None)
    if cell.iterations == THEORY:
        return replace(cell, measure=THEORY, iterations=None)
    return cell


def points(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """All combinations of the values of some axes, the last axis fastest."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))
