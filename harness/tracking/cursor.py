"""What a tracking server was told of a journal, remembered beside it."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.trial.records import Record, read_record, write_record
from saat.errors import InputError


@dataclass
class Cursor:
    """The events that one parent run has: all up to one, but for those refused for good."""

    run: str = ""
    delivered: int = -1
    refused: set[int] = field(default_factory=set)

    def lacks(self, seq: int) -> bool:
        """Whether the event is still to be delivered; a refused one gets another chance."""
        return seq > self.delivered or seq in self.refused

    def missing(self, last: int) -> int:
        """How many of the events up to ``last`` were not accepted."""
        return max(0, last - self.delivered) + len(self.refused)

    def move(self, seq: int, accepted: bool) -> None:
        """Note that an event was accepted or refused."""
        self.delivered = max(seq, self.delivered)
        (self.refused.discard if accepted else self.refused.add)(seq)

    def save(self, path: Path, uri: str) -> None:
        """Write it; on a full disk events are only delivered again, which is safe."""
        refused = sorted(self.refused)
        content = {"uri": uri, "run": self.run, "delivered": self.delivered, "refused": refused}
        with suppress(OSError):
            write_record(path, content)


def read_cursor(path: Path, uri: str) -> Cursor:
    """What the server at ``uri`` was told; nothing if the file is of another one or damaged."""
    try:
        content = read_record(path, _Told)
    except InputError:
        return Cursor()
    if content["uri"] != uri:
        return Cursor()
    return Cursor(content["run"], content["delivered"], set(content["refused"]))


class _Told(Record):
    uri: str
    run: str
    delivered: int
    refused: list[int]
