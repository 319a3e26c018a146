"""Faults of the driver's process."""

import signal

from tests.chaos.bench import Bench
from tests.chaos.faults import Fault, KillsDriver
from tests.chaos.setup import Needs

_INTERRUPTED = "saat: interrupted; what was finished is on the disk"


class DriverKilled(KillsDriver):
    """SIGKILL."""

    kind = "driver killed"


class DriverTerminated(Fault):
    """SIGTERM, as a cluster's scheduler sends it: the driver ends in order."""

    kind = "driver terminated"

    def strike(self, bench: Bench) -> None:
        """Status 130, or the signal itself before the handler is there."""
        if bench.reach(self.moment):
            bench.note(self.kind, self.moment)
            status = bench.kill_driver(signal.SIGTERM)
            if status == 130 and not bench.last_words().startswith(_INTERRUPTED):
                bench.complaints.append(
                    f"interrupted, and does not say so: {bench.last_words()[-200:]}"
                )


class HalfEvent(KillsDriver):
    """The driver dies while it writes an event: a line without an end."""

    kind = "event half written"

    def damage(self, bench: Bench) -> None:
        """Half of a line that looks like the last one."""
        if bench.events():
            line = bench.journal.read_bytes().splitlines()[-1]
            with bench.journal.open("ab") as file:
                file.write(line[: self.chance.randrange(1, len(line))])


class ReaderGone(Fault):
    """Whoever reads the driver's standard error dies: a ``tee``, a terminal's connection."""

    kind = "reader of the output killed"

    def prepare(self, needs: Needs) -> None:
        """A reader."""
        needs.reader = True

    def strike(self, bench: Bench) -> None:
        """The search goes on unread."""
        if bench.reach(self.moment):
            assert bench.reader is not None
            bench.note(self.kind, self.moment)
            bench.reader.kill()
            bench.reader.wait()


FAULTS: tuple[type[Fault], ...] = (DriverKilled, DriverTerminated, HalfEvent, ReaderGone)
