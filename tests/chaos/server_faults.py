"""Faults of the tracking server."""

import time

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault, KillsDriver
from tests.chaos.server import TrackingServer
from tests.chaos.setup import Needs


class ServerKilled(Fault):
    """SIGKILL, and back after a while; the search goes on meanwhile."""

    kind = "tracking server killed"

    def prepare(self, needs: Needs) -> None:
        """A server."""
        needs.server = True

    def strike(self, bench: Bench) -> None:
        """Down for some seconds."""
        assert bench.server is not None
        if not bench.reach(self.moment):
            return
        bench.note(self.kind, self.moment)
        bench.server.kill()
        self.damage(bench.server)
        time.sleep(self.chance.uniform(0, 4))
        bench.server.start()

    def damage(self, server: TrackingServer) -> None:
        """What else happens while it is down."""


class ServerWiped(ServerKilled):
    """The same, and it has lost everything: the search that goes on has to tell it all again."""

    kind = "tracking server wiped"

    def damage(self, server: TrackingServer) -> None:
        """Another server under the same address, so to speak."""
        server.wipe()


class ServerWipedUnseen(KillsDriver):
    """The server loses everything while no driver lives: the next one has to find out."""

    kind = "tracking server wiped, driver dead"

    def prepare(self, needs: Needs) -> None:
        """A server."""
        needs.server = True

    def damage(self, bench: Bench) -> None:
        """Another server under the same address, so to speak."""
        assert bench.server is not None
        bench.server.kill()
        bench.server.wipe()
        bench.server.start()


FAULTS: tuple[type[Fault], ...] = (ServerKilled, ServerWiped, ServerWipedUnseen)
