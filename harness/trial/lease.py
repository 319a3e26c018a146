"""One writer in a folder at a time, also where the last one cannot be asked any more.

A file lock alone does not do on a cluster. A worker on a node that was cut off lives on, and holds
the lock of its trial while the trial is to go on elsewhere; a network file system may keep the lock
of a node that is gone for ever. So every claim on a folder has a number, and the highest counts. A
holder that sees a higher one ends its process at once; whoever made the higher claim waits until
the kernel has freed the lower lock, or until the holder has given no sign of life for
:data:`SILENT_S`, by the waiter's own clock. A holder that wakes up after that sees the higher
number before it writes anything.
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

SILENT_S = 120.0  # a holder without a sign of life for so long is waited for no longer
_BEAT_S = 3.0  # between two signs of life, and two looks for a higher claim
_LOOK_S = 0.5


class Lease:
    """The right to write into a folder, for as long as the context lasts.

    Args:
        folder: made if need be; the claims lie in ``.lease`` below it.
        takes_over: end whoever holds the folder (a trial is begun anew only when its worker counts
            as lost); otherwise a holder is waited for as long as it lives.
    """

    def __init__(self, folder: Path, takes_over: bool) -> None:
        self._claims = folder / ".lease"
        self._takes_over = takes_over
        self._number = 0
        self._lock: FileLock | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "Lease":
        self._claims.mkdir(parents=True, exist_ok=True)
        try:
            if self._takes_over:
                self._take_over()
            else:
                self._wait_for_turn()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._lock is not None:
            self._lock.release()

    def check(self) -> None:
        """End this process if the folder belongs to another one by now; call before writing."""
        if self._highest() > self._number and not self._ended.is_set():
            _end_process(self._claims.parent)

    def _take_over(self) -> None:
        """Make a higher claim than anybody, and outlive whoever has a lower one."""
        lock = None
        while lock is None:
            self._number = self._highest() + 1
            lock = self._try(self._number)
        self._hold(lock)
        for number in self._numbers():
            if number < self._number:
                self._outlive(number)

    def _wait_for_turn(self) -> None:
        """Hold the highest claim, or a new one above a holder that has fallen silent."""
        number = max(1, self._highest())
        while True:
            lock = self._after(number)
            if lock is not None and self._highest() <= number:
                self._number = number
                self._hold(lock)
                return
            if lock is not None:
                lock.release()
            number = max(number + 1, self._highest())

    def _outlive(self, number: int) -> None:
        """Wait until the holder of a lower claim has ended or is silent."""
        lock = self._after(number)
        if lock is not None:
            lock.release()
            for path in (self._path(number, "lock"), self._path(number, "beat")):
                path.unlink(missing_ok=True)

    def _after(self, number: int) -> FileLock | None:
        """The lock of a claim when its holder has ended; None when it has fallen silent."""
        beat, since = self._beat(number), time.monotonic()
        while (lock := self._try(number)) is None:
            time.sleep(_LOOK_S)
            latest = self._beat(number)
            if latest != beat:
                beat, since = latest, time.monotonic()
            elif time.monotonic() - since > SILENT_S:
                return None
        return lock

    def _try(self, number: int) -> FileLock | None:
        # Not bound to a thread: a generator that holds the lease may be closed by another one.
        lock = FileLock(self._path(number, "lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _hold(self, lock: FileLock) -> None:
        self._lock = lock
        self._path(self._number, "beat").write_text(f"{socket.gethostname()} {os.getpid()}\n")
        threading.Thread(target=self._live, name="lease", daemon=True).start()

    def _live(self) -> None:
        """Give signs of life, and look for a higher claim, until the lease ends."""
        while not self._ended.wait(_BEAT_S):
            # Apart, and each may fail while a file system is away: whoever took over clears the
            # sign of life away, and that must not keep its former holder from looking.
            with suppress(OSError):
                os.utime(self._path(self._number, "beat"))
            with suppress(OSError):
                self.check()

    def _beat(self, number: int) -> int | None:
        """When a holder last gave a sign of life, by the file server's clock."""
        with suppress(OSError), self._path(number, "beat").open() as file:
            return os.fstat(file.fileno()).st_mtime_ns  # opened: NFS asks the server then
        return None

    def _numbers(self) -> list[int]:
        names = (path.stem for path in self._claims.glob("*.lock"))
        return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{1,9}", name))

    def _highest(self) -> int:
        return max(self._numbers(), default=0)

    def _path(self, number: int, kind: str) -> Path:
        return self._claims / f"{number}.{kind}"


def _end_process(folder: Path) -> None:
    """Leave the folder to its new writer; nothing of this process may write there again.

    An exception would not do: the thread that holds the lease may wait for a driver that has
    given it up.
    """
    print(f"saat: {folder} has a newer writer; this process ends", file=sys.stderr, flush=True)
    os._exit(1)
