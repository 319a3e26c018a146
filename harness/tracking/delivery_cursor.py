"""The cursor: a file beside the journal that says which events a tracking server has."""

from contextlib import suppress
from pathlib import Path

from pydantic import Field

from harness.trial.records import Record, read_record, write_record
from saat.errors import InputError


class DeliveryCursor(Record):
    """The events that a server has."""

    uri: str
    run: str  # id of the parent run there
    delivered: int = -1  # number of the newest event that was delivered
    refused: list[int] = Field(default_factory=list)  # older ones that it refused for good

    def is_pending(self, seq: int) -> bool:
        """Whether an event is still to be delivered; a refused one is tried again."""
        return seq > self.delivered or seq in self.refused

    def count_pending(self, last: int) -> int:
        """Count the events up to ``last`` that were not accepted."""
        return max(0, last - self.delivered) + len(self.refused)

    def record(self, seq: int, accepted: bool) -> None:
        """Note that an event was accepted or refused."""
        self.delivered = max(seq, self.delivered)
        refused = {*self.refused} - {seq} if accepted else {*self.refused, seq}
        self.refused = sorted(refused)

    def save(self, path: Path) -> None:
        """Write the file; if the disk is full, events are delivered twice, which is safe."""
        with suppress(OSError):
            write_record(path, self.model_dump())


def read_delivery_cursor(path: Path, uri: str) -> DeliveryCursor:
    """Read the cursor of the server at ``uri``; empty if it is damaged or of another server."""
    with suppress(InputError):
        found = DeliveryCursor(**read_record(path, DeliveryCursor))
        if found.uri == uri:
            return found
    return DeliveryCursor(uri=uri, run="")
