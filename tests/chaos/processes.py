"""Processes of this machine (Linux), and which of them a bench has started."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Every process below a bench inherits the variable; Ray's workers keep it under SPT_NOENV, for
# their title would be written over it otherwise.
MARK = "SAAT_CHAOS"


@dataclass(frozen=True)
class Process:
    """A process that was alive when it was looked at."""

    pid: int
    parent: int
    title: str


def marked(mark: str) -> list[Process]:
    """Live processes with ``mark`` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    return [process for process, environment in _all() if wanted in environment.split(b"\0")]


def descendants(pid: int) -> list[Process]:
    """Live processes below ``pid``, parents before children."""
    everything = [process for process, _ in _all()]
    found, parents = [], {pid}
    while parents:
        children = [process for process in everything if process.parent in parents]
        found += children
        parents = {process.pid for process in children}
    return found


def kill(process: Process) -> bool:
    """SIGKILL; whether it was still there."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _all() -> Iterator[tuple[Process, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it has ended meanwhile
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state in "ZX":
                continue
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes()
            yield Process(int(folder.name), int(parent), title.strip()), environment
