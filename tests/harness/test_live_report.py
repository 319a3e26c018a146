"""``saat report --live``: served on 127.0.0.1, kept up to date, ended with the search."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure

from harness.__main__ import main
from harness.journal.journal import Journal, read
from harness.session import live_report
from harness.session.live_report import serve_live
from saat.errors import InputError
from tests.harness.fakes import cut, experiment, finished

pytestmark = pytest.mark.slow


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A finished search, whose report was not written yet."""
    searched = experiment(name="done", search__num_samples=4)
    folder = tmp_path / "runs" / "done"
    finished(folder, searched)
    text = yaml.safe_dump(searched.dump(), sort_keys=False)
    (folder / "experiment.yaml").write_text(text)
    return folder


@pytest.fixture
def young(done: Path) -> Path:
    """The same search when only a few of its trials had ended."""
    folder = done.parent / "young"
    events = read(done / "events.jsonl")
    cut(events, len(events) // 2, folder)
    (folder / "experiment.yaml").write_bytes((done / "experiment.yaml").read_bytes())
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions follow at once, and the pictures are empty."""
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _self: None)
    monkeypatch.setattr(Figure, "savefig", lambda _self, file, **_options: _touch(file))
    monkeypatch.setattr(live_report, "GOODBYE", 2.0)


def _touch(file: object) -> None:
    if isinstance(file, Path):
        file.write_bytes(b"")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, path: str, host: str = "") -> tuple[int, bytes]:
    """Status and content of an answer."""
    headers = {"Host": host} if host else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def wait_for(port: int, holds: Any, seconds: float = 120) -> dict[str, Any]:
    """The state of a server, once it holds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state: dict[str, Any] = json.loads(get(port, "/live.json")[1])
        except (urllib.error.URLError, ConnectionError):
            state = {}
        if state and holds(state):
            return state
        time.sleep(0.1)
    raise AssertionError("never")


@pytest.mark.usefixtures("quick")
def test_a_report_follows_its_search_and_ends_with_it(
    young: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    said: list[str] = []
    serving = threading.Thread(
        target=serve_live, args=(young, port, said.append), kwargs={"every": 0.1}, daemon=True
    )
    serving.start()
    assert wait_for(port, lambda state: state["version"] == 1) == {"version": 1, "ended": False}
    status, page = get(port, "/")
    assert status == 200
    assert b'data-version="1"' in page
    assert get(port, "/tables/trials.csv")[0] == 200
    assert b"frontier.png" not in page  # files for print would take time from the search
    for path in ("/../2/report.html", "/figures/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/1",
                 "/tables", "/events.jsonl", "//etc/passwd"):  # fmt: skip
        assert get(port, path)[0] == 404, path
    assert get(port, "/", host="elsewhere.example")[0] == 403
    rows = get(port, "/tables/trials.csv")[1].count(b"\n")
    whole = read(young.parent / "done" / "events.jsonl")
    count = len(read(young / "events.jsonl"))
    journal = Journal(young)
    for event in whole[count:]:
        journal.append(event["event"], **{k: v for k, v in event.items()
                                          if k not in ("seq", "time", "event")})  # fmt: skip
    wait_for(port, lambda state: state["version"] >= 2 and not state["ended"])
    assert get(port, "/tables/trials.csv")[1].count(b"\n") > rows
    journal.append("reported")
    journal.close()
    wait_for(port, lambda state: state["ended"])
    serving.join(timeout=60)
    assert not serving.is_alive()
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"live report: http://127.0.0.1:{port}/ (Ctrl-C ends it)",
        f"young: the search has ended; report: {young / 'report' / 'report.html'}",
    ]
    assert not (young / "report").exists()  # that one is the search's own


@pytest.mark.usefixtures("quick")
def test_an_interruption_ends_it_with_one_line(
    young: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["report", "young", "--live", "--runs-dir", str(young.parent),
              "--port", str(free_port())])  # fmt: skip
    out, err = capsys.readouterr()
    assert ended.value.code == 130
    assert len(out.splitlines()) == len(err.splitlines()) == 1
    assert err.startswith("saat: interrupted")


def test_a_port_that_is_taken_is_refused_before_any_work(
    young: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["report", "young", "--live", "--runs-dir", str(young.parent),
                  "--port", str(port)])  # fmt: skip
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"saat: --port {port}: Address already in use; another one")
    assert not (young / "trials.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["young", "--port", "5001"], "--port: goes with --live"),
        (["young", "done", "--live"], "--live: follows one search; name one"),
        (["young", "--live", "--print"], "--live: writes no figures for print; leave out --print"),
        (["young", "--live", "-o", "x"], "--live: serves from a temporary folder; leave out -o"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    young: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments, "--runs-dir", str(young.parent)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"saat: {said}\n"


def test_a_damaged_journal_is_told_in_one_line(young: Path) -> None:
    (young / "events.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="the journal is damaged"):
        serve_live(young, free_port(), print)
