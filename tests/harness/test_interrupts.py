"""Ctrl-C and SIGTERM end the command with status 130 and one line, at whatever moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

import harness.__main__ as command
from harness import interrupts
from harness.journal.journal import read
from tests.harness.tiny import tiny_raw

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
ON_LINUX = pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc what a process does")


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A shell's background job ignores SIGINT, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handles_signals(process: subprocess.Popen[str]) -> bool:
    """Whether the process has a handler of its own for SIGTERM by now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def loads_torch(process: subprocess.Popen[str]) -> bool:
    return "libtorch_cpu" in Path(f"/proc/{process.pid}/maps").read_text()


def processes_of(group: int) -> list[int]:
    """Processes of a process group that still live."""
    stats = [path for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    fields = [(int(path.parent.name), text_of(path).rpartition(")")[2].split()) for path in stats]
    return [number for number, rest in fields if rest and int(rest[2]) == group and rest[0] != "Z"]


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has just ended
        return ""


def interrupted(
    arguments: list[str], moment: Callable[[subprocess.Popen[str]], bool], number: int
) -> tuple[int, str, list[str]]:
    """Run the command and send it a signal at a moment of its start; status, output, errors."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not moment(process):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err.splitlines()


@ON_LINUX
@BOTH
@pytest.mark.parametrize("moment", [handles_signals, loads_torch])
def test_a_start_that_is_interrupted_ends_with_one_line(
    moment: Callable[[subprocess.Popen[str]], bool], number: int, tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    arguments = ["search", str(file), "--executor", "inline", "--runs-dir", str(runs_dir)]
    status, out, err = interrupted(arguments, moment, number)
    assert (status, out) == (130, "")
    assert err == ["saat: interrupted; nothing was begun"]
    assert not runs_dir.exists()


@BOTH
def test_what_an_interruption_was_turned_into_is_still_one(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import that is cut off in the middle fails with whatever it likes."""

    class Group:
        def main(self, *_: object, **__: object) -> int:
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            except KeyboardInterrupt:
                raise ImportError("half of it") from None
            return 0

    monkeypatch.setattr(typer.main, "get_command", lambda app: Group())
    with pytest.raises(SystemExit) as ended:
        command.main(["status", "x"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "saat: interrupted; what was finished is on the disk\n"
    assert signal.getsignal(signal.SIGINT) is interrupts.leave_quietly  # for who asks twice


@BOTH
def test_an_interruption_that_nothing_caught_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Group:
        def main(self, *_: object, **__: object) -> int:
            os.kill(os.getpid(), number)
            time.sleep(5)
            return 0

    monkeypatch.setattr(typer.main, "get_command", lambda app: Group())
    with pytest.raises(SystemExit) as ended:
        command.main(["status", "x"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "saat: interrupted; what was finished is on the disk\n"


def test_an_interruption_says_in_its_line_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: object) -> Path:
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny" / "events.jsonl").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.session.session.start", interrupted)
    monkeypatch.setattr("harness.session.session.paths_to_allow", lambda *_: [])
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    for executor in ("inline", "ray"):
        with pytest.raises(SystemExit) as ended:
            command.main(["search", str(file), "--executor", executor, "--runs-dir", str(tmp_path)])
        assert ended.value.code == 130
        assert capsys.readouterr().err == (
            "saat: interrupted; what was finished is on the disk; "
            f"continue with: saat resume tiny --executor {executor} --runs-dir {tmp_path}\n"
        )
        (tmp_path / "tiny" / "events.jsonl").unlink()
        (tmp_path / "tiny").rmdir()


@pytest.mark.slow
@ON_LINUX
@pytest.mark.ray
def test_ctrl_c_in_a_terminal_ends_a_search_on_ray(tmp_path: Path) -> None:
    """A terminal sends it to the driver and to all that the driver started and kept with it."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"defense.epochs": 60, "search.scheduler": "none"})))
    runs = ["--runs-dir", str(tmp_path / "runs")]
    journal = tmp_path / "runs" / "tiny" / "events.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "search", str(file), *runs],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while not any(event["event"] == "epoch" for event in read(journal)):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "saat: interrupted; what was finished is on the disk; "
        f"continue with: saat resume tiny --executor ray {' '.join(runs)}"
    )
    assert "Traceback" not in err
    assert not processes_of(process.pid)


def test_an_error_without_an_interruption_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Group:
        def main(self, *_: object, **__: object) -> int:
            raise ImportError("half of it")

    monkeypatch.setattr(typer.main, "get_command", lambda app: Group())
    with pytest.raises(ImportError, match="half of it"):
        command.main(["status", "x"])


def test_a_signal_that_the_parent_ignores_stays_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a command in the background of a script, and under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(SystemExit):
        command.main(["list", "hashing"])
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_nothing_that_takes_time_is_imported_before_the_handlers() -> None:
    code = "import sys, harness.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "saat" in loaded
    assert not loaded & {"torch", "numpy", "ray", "typer", "click", "pydantic", "pandas", "yaml"}
