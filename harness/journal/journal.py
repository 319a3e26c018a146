"""The truth about a search: an append-only file of JSON events, one a line.

Every event is on the disk before anything acts on it. A line that a dying driver left unfinished
is cut off at the next opening; anything else that cannot be read is an error, never skipped.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.journal.onlookers import looking_on
from saat.checkpoint import fsync
from saat.errors import InputError

Event = dict[str, Any]


class Journal:
    """Appends events for as long as it is open; only one process at a time can hold it open.

    Args:
        run_dir: folder of the search; ``events.jsonl`` lies in it.

    Raises:
        InputError: another process has the search open, or the journal is damaged.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "events.jsonl"
        self._lock = FileLock(run_dir / ".driver.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{run_dir.name}: another process is running this search") from None
        try:
            self.events = repair(self.path)
        except BaseException:
            self._lock.release()
            raise
        self.error: OSError | None = None  # why the last event could not be written
        self._folds: list[Callable[[Event], None]] = []
        self._listeners: list[Callable[[Event], None]] = []
        # Unbuffered: a line that could not be written must not appear later.
        self._file = self.path.open("ab", buffering=0)
        fsync(run_dir)

    def fold(self, apply: Callable[[Event], None]) -> None:
        """Call ``apply`` with every event from now on, after it is on the disk.

        Before all who listen: what they see is the state that the event made.
        """
        self._folds.append(apply)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with every event from now on; an exception in it stops nothing."""
        self._listeners.append(looking_on(listener))

    def append(self, kind: str, **fields: Any) -> Event:
        """Write an event durably; returns it with its ``seq`` and ``time``.

        Raises:
            OSError: the disk is full; the event has not happened.
        """
        event: Event = {"seq": len(self.events), "time": time.time(), "event": kind, **fields}
        size = self._file.seek(0, os.SEEK_END)
        line = json.dumps(event).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(size)
            error.filename = str(self.path)
            self.error = error
            raise
        self.events.append(event)
        for hear in (*self._folds, *self._listeners):
            hear(event)
        return event

    def close(self) -> None:
        """Release the file and the lock."""
        self._file.close()
        self._lock.release()


def repair(path: Path) -> list[Event]:
    """Events of a journal; an unfinished last line is cut off the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        with path.open("r+b") as file:
            file.truncate(complete)
            os.fsync(file.fileno())
    return list(_parse(path, content[:complete]))


def read(path: Path) -> list[Event]:
    """Events of a journal that another process may be writing; changes nothing."""
    content = path.read_bytes() if path.exists() else b""
    return list(_parse(path, content[: content.rfind(b"\n") + 1]))


def _parse(path: Path, content: bytes) -> Iterator[Event]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            event = json.loads(line)
        except ValueError:
            raise InputError(f"{path}: line {number}: not JSON; the journal is damaged") from None
        if not isinstance(event, dict) or event.get("seq") != number - 1:
            raise InputError(f"{path}: line {number}: out of sequence; the journal is damaged")
        if (event.get("event") == "started") != (number == 1):
            raise InputError(f"{path}: line {number}: not what a search begins with; damaged")
        yield event
