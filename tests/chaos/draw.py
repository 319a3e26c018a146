"""A seed says which faults strike a search, and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos import (
    cluster_faults,
    driver_faults,
    planted_faults,
    server_faults,
    storage_faults,
    worker_faults,
)
from tests.chaos.faults import Fault
from tests.chaos.setup import Needs

Where = Literal["inline", "ray", "cluster"]

_ANYWHERE = (*driver_faults.FAULTS, *storage_faults.FAULTS, *server_faults.FAULTS)
# Planted faults are in the driver's process, where inline trials run too.
KINDS: dict[Where, tuple[type[Fault], ...]] = {
    "inline": (*_ANYWHERE, *planted_faults.FAULTS),
    "ray": (*worker_faults.FAULTS, *_ANYWHERE),
    "cluster": cluster_faults.FAULTS,
}


@dataclass(frozen=True)
class Scenario:
    """One search and its faults, in the order in which they strike."""

    seed: int
    where: Where
    faults: Sequence[Fault]
    needs: Needs
    chance: random.Random


def draw(seed: int, where: Where, count: int) -> Scenario:
    """``count`` faults of different kinds for a search.

    With Ray, most are faults of its processes: the others have nothing to do with it.
    """
    chance = random.Random(f"chaos {seed} {where}")
    kinds = list(KINDS[where])
    if where == "ray":
        others = [kind for kind in _ANYWHERE if kind is not driver_faults.DriverKilled]
        kinds = [*worker_faults.FAULTS, driver_faults.DriverKilled, chance.choice(others)]
    faults = [kind(chance) for kind in chance.sample(kinds, count)]
    needs = Needs()
    for fault in faults:
        fault.prepare(needs)
    return Scenario(seed, where, faults, needs, chance)
