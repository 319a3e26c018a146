"""One small search on the disk, the lives of its driver, and the faults that struck it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import yaml

from harness.journal.journal import Event, read
from harness.tracking.store import default_uri
from tests.chaos.processes import MARK, Process, kill, marked
from tests.chaos.seen import Seen, look
from tests.chaos.server import TrackingServer
from tests.chaos.setup import EXPERIMENT, NAME, ROOT, Moment, Needs, Struck

_SILENT_S = 600  # a driver hangs that tells of nothing for so long
# Within which everything that a search started has ended. Agents of a dead raylet first try for
# about a minute to tell the head, which may be dead too.
_GONE_S = 180
_LIVES = 12


class Bench:
    """Where a search runs and is hurt.

    Args:
        folder: for everything of this bench; decoded images are kept beside it.
        executor: of the search.
        needs: of the faults to come.
        chance: draws moments.
    """

    def __init__(self, folder: Path, executor: str, needs: Needs, chance: random.Random) -> None:
        self.folder, self.executor, self.chance = folder, executor, chance
        self.mark = uuid.uuid4().hex
        self.disk = folder / "disk"
        self.runs = self.disk / "runs"
        self.run_dir = self.runs / NAME
        self.journal = self.run_dir / "events.jsonl"
        self.struck: list[Struck] = []
        self.complaints: list[str] = []  # what went wrong in a driver's life
        self.driver: subprocess.Popen[bytes] | None = None
        self.reader: subprocess.Popen[bytes] | None = None
        self.address: str | None = None  # of a Ray cluster
        self._lives = 0
        self._began = 0.0
        self._expected: set[int] = {0}
        self.disk.mkdir(parents=True)
        self._mounted = needs.disk
        if needs.disk:
            command = ["mount", "-t", "tmpfs", "-o", "size=192m", "saat-chaos", str(self.disk)]
            subprocess.run(command, check=True)
        # Ray's sockets need a short path, and its session must not lie among other people's.
        self._ray = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
        self.environment = {
            **os.environ,
            MARK: self.mark,
            "SPT_NOENV": "1",
            "OMP_NUM_THREADS": "1",
            "SAAT_CACHE": str(folder.parent / "cache"),
            "RAY_TMPDIR": str(self._ray),
            "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # not a minute, for a dead head
            "PYTHONPATH": str(ROOT),
        }
        self._needs = needs
        self.server: TrackingServer | None = None
        if needs.server:
            self.server = TrackingServer(folder / "server", self.environment)
            self.server.start()
        self._file = folder / "experiment.yaml"
        self._file.write_text(yaml.safe_dump(EXPERIMENT))

    # What is there

    def events(self) -> list[Event]:
        """The journal as it is now."""
        return read(self.journal)

    def finished(self) -> bool:
        """Whether the search has ended, report included."""
        return any(event["event"] == "reported" for event in self.events())

    @property
    def store(self) -> str:
        """URI of the tracking data base, for reading."""
        return self.server.store if self.server else default_uri(self.runs)

    @property
    def alive(self) -> bool:
        """Whether a driver runs."""
        return self.driver is not None and self.driver.poll() is None

    # The lives of the driver

    def begin(self) -> None:
        """Start the search, or resume it."""
        self._judge()
        self._lives += 1
        self._expected = {0}
        if self.run_dir.exists() and not self.events():
            shutil.rmtree(self.run_dir)  # as `saat resume` says: it never started
        arguments = ["resume", NAME]
        if not self.run_dir.exists():
            arguments = ["search", str(self._file), "--executor", self.executor]
        arguments += ["--tracking-uri", self.server.uri] if self.server else []
        arguments += ["--runs-dir", str(self.runs)]
        arguments += ["--address", self.address] if self.address else []
        with self._output().open("wb") as output:
            stderr: Any = output
            if self._needs.reader:
                self.reader = subprocess.Popen(
                    ["cat"], stdin=subprocess.PIPE, stdout=output, env=self.environment
                )
                stderr = self.reader.stdin
            self.driver = self.launch(
                [*self._program(), *arguments], cwd=ROOT, env=self.environment, stderr=stderr,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            if stderr is not output:
                stderr.close()
        self._began = time.time()

    def launch(self, command: list[str], **popen: Any) -> "subprocess.Popen[bytes]":
        """Start the driver."""
        return subprocess.Popen(command, **popen)

    def _program(self) -> list[str]:
        """The command line of ``saat``, with what is planted."""
        if not self._needs.plants:
            return [sys.executable, "-m", "harness"]
        return [
            sys.executable, "-m", "tests.chaos.planted", str(self.folder), str(self.run_dir),
            ",".join(self._needs.plants),
        ]  # fmt: skip

    def said(self) -> str:
        """What the present driver wrote on standard error."""
        return self._output().read_text(errors="replace")

    def last_words(self) -> str:
        """The last line of it; empty where there is none."""
        return next(reversed(self.said().strip().splitlines()), "")

    def _output(self) -> Path:
        return self.folder / f"life-{self._lives}.err"

    def reach(self, moment: Moment) -> bool:
        """Wait for a moment of the present driver; whether it came before the driver's end."""
        wanted = len(self.events()) + moment.events
        patience = _Patience(self.journal)
        while self.alive and moment.events and len(self.events()) < wanted:
            if patience.is_over():
                return False
            time.sleep(0.02)
        start = time.time() if moment.events else self._began
        while self.alive and time.time() < start + moment.delay:
            time.sleep(0.02)
        return self.alive and not self.finished()

    def expect(self, *statuses: int) -> None:
        """How the present driver may end, beside status 0."""
        self._expected |= set(statuses)

    def note(self, kind: str, moment: Moment | str) -> None:
        """A fault strikes now."""
        self.struck.append(Struck(kind, str(moment), time.time(), look(self.run_dir)))

    def kill_driver(self, number: int = signal.SIGKILL) -> int:
        """Send the driver a signal and wait for its end; the status."""
        assert self.driver is not None
        self.expect(-number, 130)
        self.driver.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the driver's end; a complaint if it does not come."""
        assert self.driver is not None
        patience = _Patience(self.journal)
        while (status := self.driver.poll()) is None:
            if patience.is_over():
                self.complaints.append(f"life {self._lives} hangs: {_tail(self.said())}")
                self.driver.kill()
                return self.driver.wait()
            time.sleep(0.02)
        return status

    def _judge(self) -> None:
        """A complaint if the present driver ended as it should not have."""
        if self.driver and (status := self.driver.poll()) not in {None, *self._expected}:
            self.complaints.append(f"life {self._lives}: status {status}: {_tail(self.said())}")

    def conclude(self) -> None:
        """Let the search end, resuming it as often as need be; deliver what MLflow lacks."""
        while self._lives < _LIVES:
            if not self.alive and not self.finished():
                self.begin()
            self.wait()
            if self.finished():
                break
        self._judge()
        told = json.loads((self.run_dir / "tracked.json").read_text())
        if told["delivered"] < len(self.events()) - 1 or told["refused"]:
            sync = [sys.executable, "-m", "harness", "sync", NAME, "--runs-dir", str(self.runs)]
            done = subprocess.run(
                sync, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                self.complaints.append(f"saat sync: {_tail(done.stderr)}")

    # The end

    def left_running(self) -> list[Process]:
        """What still runs of a search that has ended, after a while."""
        until = time.monotonic() + _GONE_S
        while found := marked(self.mark):
            if time.monotonic() > until:
                return found
            time.sleep(0.2)
        return []

    def close(self) -> None:
        """End everything and take the file system away."""
        if self.server:
            self.server.kill()
        for process in marked(self.mark):
            kill(process)
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)
        shutil.rmtree(self._ray, ignore_errors=True)

    def planted_strikes(self) -> list[Struck]:
        """What the planted faults noted in the driver's own process."""
        found = []
        for path in sorted(self.folder.glob("struck-*.json")):
            content = json.loads(path.read_text())
            found.append(Struck(**content | {"seen": Seen(**content["seen"])}))
        return found


class _Patience:
    """Is over when nothing was added to a file for long."""

    def __init__(self, path: Path) -> None:
        self._path, self._size, self._since = path, -1, time.monotonic()

    def is_over(self) -> bool:
        size = self._path.stat().st_size if self._path.exists() else 0
        if size != self._size:
            self._size, self._since = size, time.monotonic()
        return time.monotonic() > self._since + _SILENT_S


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-3:])[-400:]
