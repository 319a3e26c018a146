"""One writer in a folder at a time, even if the former writer cannot be reached.

A file lock alone is not enough on a cluster (``docs/architecture.md``), so every claim on a folder
has a number, and the highest one counts. A holder that sees a higher claim ends its process at
once. The new claimant waits until the old lock is free, or until the old holder has given no sign
of life for :data:`SILENT_S` seconds of the claimant's clock. A holder that wakes up later checks
for higher claims before it writes.
"""

import os
import re
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

SILENT_S = 120.0  # a holder without a sign of life for so long is dead
BEAT_S = 3.0  # between two signs of life, and between two checks for a higher claim
LOOK_S = 0.5  # between two tries to get a lock


class Lease:
    """The right to write into a folder, during a ``with`` block.

    Args:
        folder: created if necessary; the claims are files in its subfolder ``.lease``.
        takes_over: whether to end the current holder. Trials do so, because a trial is started
            again only when its worker counts as lost. Otherwise wait until the holder has ended.
    """

    def __init__(self, folder: Path, takes_over: bool) -> None:
        self._claims = folder / ".lease"
        self._claim = self._take_over if takes_over else self._wait_for_turn
        self._number = 0
        self._lock: FileLock | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "Lease":
        self._claims.mkdir(parents=True, exist_ok=True)
        try:
            self._claim()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._lock is not None:
            self._lock.release()

    def check(self) -> None:
        """End this process if there is a higher claim; call before writing."""
        if self._highest() > self._number and not self._ended.is_set():
            end_process(self._claims.parent)

    def _take_over(self) -> None:
        """Make the highest claim, and wait for the end of all lower ones, which are deleted."""
        number = self._highest() + 1
        while (lock := self._try_lock(number)) is None:
            number = self._highest() + 1
        self._hold(lock, number)
        for lower in self._numbers():
            # None: its holder is silent, and may wake up.
            if lower < number and (ended := self._lock_of_ended(lower)) is not None:
                ended.release()
                for kind in ("lock", "beat"):
                    self._path(lower, kind).unlink(missing_ok=True)

    def _wait_for_turn(self) -> None:
        """Wait for the highest claim, or make a higher one if its holder is silent."""
        number = max(1, self._highest())
        while True:
            lock = self._lock_of_ended(number)
            if lock is not None:
                if self._highest() <= number:
                    return self._hold(lock, number)
                lock.release()
            number = max(number + 1, self._highest())

    def _lock_of_ended(self, number: int) -> FileLock | None:
        """Wait for the lock of a claim, until its holder ends; None if the holder is silent."""
        beat, since = self._beat(number), time.monotonic()
        while (lock := self._try_lock(number)) is None:
            time.sleep(LOOK_S)
            latest = self._beat(number)
            if latest != beat:
                beat, since = latest, time.monotonic()
            elif time.monotonic() - since > SILENT_S:
                return None
        return lock

    def _try_lock(self, number: int) -> FileLock | None:
        # Not bound to a thread: a generator that holds the lease may be closed by another one.
        lock = FileLock(self._path(number, "lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _hold(self, lock: FileLock, number: int) -> None:
        self._lock, self._number = lock, number
        self._path(number, "beat").write_text(f"{socket.gethostname()} {os.getpid()}\n")
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def _keep(self) -> None:
        """Give signs of life and check for a higher claim, until the lease ends."""
        while not self._ended.wait(BEAT_S):
            # Separately: the first step fails if the file system is away, or if a successor has
            # deleted the file. This holder must check all the same.
            with suppress(OSError):
                os.utime(self._path(self._number, "beat"))
            with suppress(OSError):
                self.check()

    def _beat(self, number: int) -> int | None:
        """Time of a holder's last sign of life, by the file server's clock."""
        with suppress(OSError), self._path(number, "beat").open() as file:
            return os.fstat(file.fileno()).st_mtime_ns  # opening makes NFS ask its server
        return None

    def _numbers(self) -> list[int]:
        names = (path.stem for path in self._claims.glob("*.lock"))
        return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{1,9}", name))

    def _highest(self) -> int:
        return max(self._numbers(), default=0)

    def _path(self, number: int, kind: str) -> Path:
        return self._claims / f"{number}.{kind}"


def end_process(folder: Path) -> None:
    """End this process at once, so that it can never write into the folder again.

    An exception is not enough: the thread that holds the lease may wait for its driver for ever.
    """
    print(f"saat: {folder} has a newer writer; this process ends", file=sys.stderr, flush=True)
    os._exit(1)
