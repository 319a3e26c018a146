"""The journal of a search: an append-only file of JSON events, one a line.

Every event is on the disk before anything acts on it. A line that a killed driver left unfinished
is cut off at the next opening; any other damage is an error. Every line ends with a checksum of
its content; journals of versions without checksums can be read and continued.
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.journal.events import problem_with
from harness.redaction import redacted
from reports.checksums import checksum
from reports.run_folder import check_file
from saat.atomic_files import fsync
from saat.errors import InputError, one_line

log = logging.getLogger(__name__)

Event = dict[str, Any]
_CHECKSUM = re.compile(rb'(\{.*), "checksum": "([0-9a-f]{8})"\}')


class Journal:
    """Appends events to ``run_dir/events.jsonl``; one process at a time can have it open.

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
            self.events = read(self.path, repair=True)
        except BaseException:
            self._lock.release()
            raise
        self.error: OSError | None = None  # why the last event could not be written
        self._callbacks: list[Callable[[Event], None]] = []
        # Unbuffered: a line that could not be written must not appear later.
        self._file = self.path.open("ab", buffering=0)
        fsync(run_dir)

    def on_event_first(self, apply: Callable[[Event], None]) -> None:
        """Call ``apply`` with every new event when it is on the disk, before all listeners."""
        self._callbacks.insert(0, apply)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with every new event; its exceptions are logged, not raised."""
        self._callbacks.append(logging_exceptions(listener))

    def append(self, kind: str, **fields: Any) -> Event:
        """Write an event durably; returns it with its ``seq`` and ``time``.

        Raises:
            OSError: the disk is full; the event is not in the journal.
        """
        event: Event = {"seq": len(self.events), "time": time.time(), "event": kind, **fields}
        size = self._file.seek(0, os.SEEK_END)
        line = line_of(event)
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
        for callback in self._callbacks:
            callback(event)
        return event

    def close(self) -> None:
        """Release the file and the lock."""
        self._file.close()
        self._lock.release()


def logging_exceptions(callback: Callable[..., Any]) -> Callable[..., None]:
    """Wrap ``callback``: its exceptions are logged, each message once, and not raised."""
    logged: set[str] = set()

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            message = f"{name}: {type(error).__name__}: {one_line(redacted(error), 200)}"
            if message not in logged:
                logged.add(message)
                log.warning("%s; the search goes on", message)

    return call


def line_of(event: Event) -> bytes:
    """Encode an event as a line of a journal, with its checksum."""
    content = json.dumps(event).encode()
    return content[:-1] + f', "checksum": "{checksum(content)}"}}\n'.encode()


def read(path: Path, repair: bool = False) -> list[Event]:
    """Read the complete lines of a journal, which another process may be writing.

    A missing file has no events. ``repair`` cuts an unfinished last line off the file.

    Raises:
        InputError: it is not a file, or it is damaged.
    """
    check_file(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    complete = content.rfind(b"\n") + 1
    if repair and complete < len(content):
        with path.open("r+b") as file:
            file.truncate(complete)
            os.fsync(file.fileno())
    lines = content[:complete].splitlines()
    events = list(_parse(path, lines))
    if lines and _CHECKSUM.fullmatch(lines[0]) is None:
        _warn_unchecked(path)
    return events


def first_search_id(run_dir: Path) -> str | None:
    """The id of a run, from its journal; None without events. Raises as :func:`read` does."""
    events = read(run_dir / "events.jsonl")
    return str(events[0]["search_id"]) if events else None


def _parse(path: Path, lines: list[bytes]) -> Iterator[Event]:
    checked, suggested = False, 0
    for number, line in enumerate(lines):
        try:
            content = _verified(line, checked)
            event = _event(content, number)
            if event["event"] == "suggested":
                if event["trial"]["number"] != suggested:
                    raise InputError(f"trial.number: must be {suggested}, which comes next")
                suggested += 1
        except InputError as error:
            where = f"{path}: line {number + 1}"
            raise InputError(f"{where}: {error}; the journal is damaged") from None
        checked = content is not line
        yield event


def _verified(line: bytes, checked: bool) -> bytes:
    """The content of a line; if no line before was ``checked``, this one may lack a checksum."""
    found = _CHECKSUM.fullmatch(line)
    if found is None:
        if checked or b'"checksum"' in line:
            raise InputError("no checksum")
        return line
    content = found[1] + b"}"
    if checksum(content).encode() != found[2]:
        raise InputError("the checksum does not match")
    return content


def _event(content: bytes, number: int) -> Event:
    """The event number ``number``, from 0, of a journal."""
    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("not JSON") from None
    if not isinstance(event, dict) or event.get("seq") != number:
        raise InputError("out of sequence")
    if (event.get("event") == "started") != (number == 0):
        raise InputError("the first event, and no other, must be started")
    if problem := problem_with(event):
        raise InputError(one_line(problem, 200))
    return event


@cache
def _warn_unchecked(path: Path) -> None:
    """Warn, once for each journal, that it has no checksums."""
    log.warning(
        "%s: written without checksums by an earlier version; changed numbers go unnoticed", path
    )
