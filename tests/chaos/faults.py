"""What a fault is. One class a kind, a file a group; a fault is made anew for every strike."""

import random
from typing import ClassVar

from tests.chaos.bench import Bench
from tests.chaos.setup import Moment, Needs


class Fault:
    """Strikes a running search once, at a moment that it draws.

    Attributes:
        kind: its name in the log.
        changes_results: whether a trial may end otherwise than undisturbed.
    """

    kind: ClassVar[str]
    changes_results: ClassVar[bool] = False

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.moment = self.draw_moment()

    def draw_moment(self) -> Moment:
        """Within the next few events."""
        return Moment(self.chance.randint(1, 5), self.chance.uniform(0, 0.8))

    def prepare(self, needs: Needs) -> None:
        """Say what it needs around the search."""

    def strike(self, bench: Bench) -> None:
        """Wait for the moment, note it, and strike; a search that ended before is left alone."""
        raise NotImplementedError


class KillsDriver(Fault):
    """A fault for which the driver has to be dead: it is killed, at a start now and then."""

    def draw_moment(self) -> Moment:
        """Now and then while a driver starts: connecting, making the tracking data base."""
        if self.chance.random() < 0.2:
            return Moment(0, self.chance.uniform(0.5, 10))
        return super().draw_moment()

    def strike(self, bench: Bench) -> None:
        """Kill the driver, then do the damage."""
        if not bench.reach(self.moment):
            return
        bench.kill_driver()
        bench.note(self.kind, self.moment)
        self.damage(bench)

    def damage(self, bench: Bench) -> None:
        """What else happens while it is dead."""
