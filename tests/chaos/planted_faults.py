"""Faults that are planted in the driver's process and strike by themselves."""

import random
from typing import ClassVar

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault
from tests.chaos.setup import Needs


class _Planted(Fault):
    """Strikes in the n-th call of a site; see :mod:`tests.chaos.planted`."""

    sites: ClassVar[dict[str, int]]  # and up to which call

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.site = chance.choice(sorted(self.sites))
        self.call = chance.randint(1, self.sites[self.site])

    def prepare(self, needs: Needs) -> None:
        """Plant it from the start."""
        needs.plants.append(f"{self.site}:{self.call}")

    def strike(self, bench: Bench) -> None:
        """Nothing to do from outside."""


class NanLoss(_Planted):
    """A loss that is no number: its trial fails, alone."""

    kind = "NaN loss"
    changes_results = True
    sites: ClassVar[dict[str, int]] = {"nan": 14}


class CallbackRaises(_Planted):
    """What listens to the search, or delivers for it, raises."""

    kind = "exception in a callback"
    sites: ClassVar[dict[str, int]] = {"progress": 20, "status": 120, "delivery": 15}


FAULTS: tuple[type[Fault], ...] = (NanLoss, CallbackRaises)
