"""The cursor: a file beside the journal that says which events a tracking server has."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.trial.records import Record, read_record, write_record
from saat.errors import InputError


@dataclass
class DeliveryCursor:
    """The events that a server has."""

    run: str = ""  # id of the parent run there
    delivered: int = -1  # number of the newest event that was delivered
    refused: set[int] = field(default_factory=set)  # older ones that it refused for good

    def is_pending(self, seq: int) -> bool:
        """Whether an event is still to be delivered; a refused one is tried again."""
        return seq > self.delivered or seq in self.refused

    def count_pending(self, last: int) -> int:
        """Count the events up to ``last`` that were not accepted."""
        return max(0, last - self.delivered) + len(self.refused)

    def record(self, seq: int, accepted: bool) -> None:
        """Note that an event was accepted or refused."""
        self.delivered = max(seq, self.delivered)
        if accepted:
            self.refused.discard(seq)
        else:
            self.refused.add(seq)

    def save(self, path: Path, uri: str) -> None:
        """Write the file; if the disk is full, events are delivered twice, which is safe."""
        with suppress(OSError):
            write_record(path, {"uri": uri, **vars(self), "refused": sorted(self.refused)})


def read_delivery_cursor(path: Path, uri: str) -> DeliveryCursor:
    """Read the cursor of the server at ``uri``; empty if it is damaged or of another server."""
    with suppress(InputError):
        content = read_record(path, _CursorFile)
        if content["uri"] == uri:
            return DeliveryCursor(content["run"], content["delivered"], set(content["refused"]))
    return DeliveryCursor()


class _CursorFile(Record):
    uri: str
    run: str
    delivered: int
    refused: list[int]
