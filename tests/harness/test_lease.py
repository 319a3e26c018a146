"""One writer in a folder: holders that die, freeze, are cut off, and those who come after them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from harness.trial import lease
from harness.trial.lease import Lease

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")

# Claims the folder, says so, then waits like a worker whose driver does not answer; writes on.
HOLDER = """
import sys, time
from pathlib import Path
from harness.trial import lease
lease.BEAT_S, lease.SILENT_S = float(sys.argv[3]), float(sys.argv[5])
folder = Path(sys.argv[1])
with lease.Lease(folder, takes_over=sys.argv[2] == "over") as mine:
    print("holds", flush=True)
    while True:
        sys.stdin.readline()
        mine.check()
        with (folder / "written").open("a") as file:
            file.write(sys.argv[4])
        print("wrote", flush=True)
"""


class Holder:
    """A process that holds the lease of a folder."""

    def __init__(
        self, folder: Path, how: str, name: str, beat: float = 0.1, patience: float = 120
    ) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), how, str(beat), name, str(patience)],
            stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1,
        )  # fmt: skip

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def write(self) -> str:
        """Ask for a write; what it says, which is nothing when it has ended."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
        return self.says()

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)


@pytest.fixture
def start() -> Iterator[type[Holder]]:
    started: list[Holder] = []

    class Started(Holder):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            started.append(self)

    yield Started
    for holder in started:
        holder.process.kill()
        holder.process.communicate()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    monkeypatch.setattr(lease, "LOOK_S", 0.05)


def test_a_new_attempt_ends_the_worker_that_was_cut_off(
    tmp_path: Path, start: type[Holder]
) -> None:
    cut_off = start(tmp_path, "over", "old")
    assert cut_off.says() == "holds"
    assert cut_off.write() == "wrote"
    with Lease(tmp_path, takes_over=True):
        # It waited for its driver all the while: nothing but its own look-out can end it.
        assert cut_off.process.wait(10) == 1
        assert cut_off.process.stderr is not None
        assert "has a newer writer" in cut_off.process.stderr.read()
    assert (tmp_path / "written").read_text() == "old"


def test_nobody_comes_in_while_the_former_writer_lives(tmp_path: Path, start: type[Holder]) -> None:
    slow = start(tmp_path, "over", "old", beat=1.5)
    assert slow.says() == "holds"
    with Lease(tmp_path, takes_over=True):
        # Not "wait": the kernel frees the lock when it has ended, before the parent is told.
        slow.process.wait(1)
    assert slow.process.returncode == 1


def test_a_killed_writer_is_followed_at_once(
    tmp_path: Path, start: type[Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SILENT_S", 60.0)
    for takes_over in (True, False):
        killed = start(tmp_path, "wait", "old")
        assert killed.says() == "holds"
        killed.send(signal.SIGKILL)
        killed.process.wait()
        started = time.monotonic()
        with Lease(tmp_path, takes_over):
            assert time.monotonic() - started < 5


@pytest.mark.parametrize("takes_over", [True, False])
def test_a_frozen_writer_is_not_waited_for_for_ever_and_writes_nothing_when_it_thaws(
    tmp_path: Path, start: type[Holder], monkeypatch: pytest.MonkeyPatch, takes_over: bool
) -> None:
    monkeypatch.setattr(lease, "SILENT_S", 1.0)
    frozen = start(tmp_path, "over", "old", beat=0.2)
    assert frozen.says() == "holds"
    frozen.send(signal.SIGSTOP)
    started = time.monotonic()
    with Lease(tmp_path, takes_over):
        assert 0.9 < time.monotonic() - started < 20
        frozen.send(signal.SIGCONT)
        assert frozen.write() == ""
        assert frozen.process.wait(10) == 1
    assert not (tmp_path / "written").exists()


def test_the_check_before_a_write_needs_no_look_out(
    tmp_path: Path, start: type[Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SILENT_S", 0.5)
    deaf = start(tmp_path, "over", "old", beat=1000)
    assert deaf.says() == "holds"
    with Lease(tmp_path, takes_over=True):  # silent, for its beat is slow
        assert deaf.write() == ""
        assert deaf.process.wait(10) == 1
    assert not (tmp_path / "written").exists()


def test_a_holder_whose_sign_of_life_was_cleared_away_still_looks(
    tmp_path: Path, start: type[Holder]
) -> None:
    cut_off = start(tmp_path, "over", "old")
    assert cut_off.says() == "holds"
    claims = tmp_path / ".lease"
    (claims / "1.beat").unlink()  # by a successor: a file server frees the locks of a lost node
    (claims / "2.lock").touch()
    assert cut_off.process.wait(10) == 1


def patient_claim(folder: Path) -> tuple[threading.Event, threading.Thread]:
    """A claim that takes nothing over, waiting in a thread; the event says that it got in."""
    entered = threading.Event()

    def claim() -> None:
        with Lease(folder, takes_over=False):
            entered.set()

    waiting = threading.Thread(target=claim)
    waiting.start()
    return entered, waiting


def test_a_patient_claim_waits_for_a_living_holder(
    tmp_path: Path, start: type[Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SILENT_S", 1.5)
    builder = start(tmp_path, "wait", "old")
    assert builder.says() == "holds"
    entered, waiting = patient_claim(tmp_path)
    assert not entered.wait(3), "a holder that gives signs of life is waited for"
    assert builder.write() == "wrote"
    builder.send(signal.SIGKILL)
    assert entered.wait(10)
    waiting.join()


def test_of_three_the_newest_wins(tmp_path: Path, start: type[Holder]) -> None:
    first = start(tmp_path, "over", "1")
    assert first.says() == "holds"
    first.send(signal.SIGSTOP)  # the second has to wait for it
    second = start(tmp_path, "over", "2")
    until = time.monotonic() + 10
    while not (tmp_path / ".lease" / "2.beat").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    third = start(tmp_path, "over", "3")
    assert second.says() == "", "it must not come in"
    assert second.process.wait(10) == 1
    first.send(signal.SIGCONT)
    assert third.says() == "holds"
    assert first.process.wait(10) == 1
    assert third.write() == "wrote"
    assert (tmp_path / "written").read_text() == "3"


def test_one_after_the_other_in_one_process(tmp_path: Path) -> None:
    for takes_over in (True, True, False, True):
        with Lease(tmp_path, takes_over) as mine:
            mine.check()
            time.sleep(0.25)  # looks, and finds no higher claim
    assert len(list((tmp_path / ".lease").iterdir())) == 2, "ended claims are cleared away"


def test_a_patient_claim_goes_behind_one_that_was_less_patient(
    tmp_path: Path, start: type[Holder]
) -> None:
    frozen = start(tmp_path, "wait", "1")
    assert frozen.says() == "holds"
    frozen.send(signal.SIGSTOP)
    entered, waiting = patient_claim(tmp_path)
    second = start(tmp_path, "wait", "2", patience=0.5)
    assert second.says() == "holds"
    frozen.send(signal.SIGKILL)
    assert not entered.wait(1), "the first claim is free, but no longer the one that counts"
    second.send(signal.SIGKILL)
    assert entered.wait(10)
    waiting.join()


def test_a_failed_claim_holds_nothing(tmp_path: Path) -> None:
    failed = Lease(tmp_path, takes_over=True)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            failed.__enter__()
    lock = FileLock(tmp_path / ".lease" / "1.lock")
    with lock.acquire(timeout=0):
        assert lock.is_locked


@pytest.mark.parametrize("name", ["x", "\u0661", "9" * 200, "-1", "1.5"])
def test_a_claim_that_is_no_number_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / ".lease").mkdir()
    (tmp_path / ".lease" / f"{name}.lock").write_text("")
    with Lease(tmp_path, takes_over=True):
        assert (tmp_path / ".lease" / "1.beat").is_file()
