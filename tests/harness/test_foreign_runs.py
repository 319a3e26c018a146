"""What a run that somebody else made cannot make saat do."""

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from markupsafe import Markup

from harness.__main__ import main
from harness.cli.common import say
from harness.journal.journal import line_of, read
from harness.options import Options
from harness.session.resume_checks import tracking_uri_of
from harness.trial.interface import trial_folder
from reports import run_folder, templating
from reports.run_folder import check_file, check_run_folder
from saat.data import RetrievalData
from saat.errors import InputError, one_line, printable
from tests.harness.fakes import experiment, finished
from tests.harness.tiny import context_of, tiny
from tests.saat.data.samples import folder

URI = "http://somebody.else:5000"
VARIABLE = "MLFLOW_TRACKING_URI"
TURNED = "done\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe"


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    run_dir = tmp_path_factory.mktemp("made")
    finished(run_dir, experiment(name="done"))
    return read(run_dir / "events.jsonl")


@pytest.fixture
def run_dir(events: list[dict[str, Any]], tmp_path: Path) -> Path:
    """A finished run that names a server."""
    folder = tmp_path / "runs" / "done"
    folder.mkdir(parents=True)
    text = yaml.safe_dump(experiment(name="done").dump(), sort_keys=False)
    (folder / "experiment.yaml").write_text(text)
    told(folder, events, tracking_uri=URI)
    return folder


def told(folder: Path, events: list[dict[str, Any]], **started: Any) -> None:
    content = [{**events[0], **started}, *events[1:]]
    (folder / "events.jsonl").write_bytes(b"".join(map(line_of, content)))


def refused(capsys: Any, *arguments: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == 2, err
    assert len(err.splitlines()) == 1, err
    return str(out + err)


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the requests that reach it."""
    requests: list[str] = []

    class Hears(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_error(403)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hears)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("command", ["resume", "sync"])
def test_a_server_that_only_the_run_names_hears_nothing(
    command: str,
    run_dir: Path,
    events: list[dict[str, Any]],
    heard: tuple[str, list[str]],
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, requests = heard
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-my-own-server")
    told(run_dir, events, tracking_uri=uri)
    line = refused(capsys, command, "done", "--runs-dir", run_dir.parent)
    assert f"began with the tracking server {uri}" in line
    assert f"--tracking-uri {uri}" in line
    assert requests == []
    assert not (run_dir.parent / "mlflow.db").exists(), "nor is it told elsewhere"


@pytest.mark.parametrize(
    ("named", "variable", "expected"),
    [
        (URI, None, URI),
        ("http://mine", None, "http://mine"),
        (None, URI, URI),
        (None, f"{URI}/", URI),
    ],
)
def test_a_server_that_the_user_names_is_taken(
    named: str | None,
    variable: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if variable:
        monkeypatch.setenv(VARIABLE, variable)
    assert tracking_uri_of({"tracking_uri": URI}, Options(tmp_path, named), "x") == expected


@pytest.mark.parametrize("uri", [URI, "sqlite:////home/me/mlflow.db", "postgresql://host/db"])
def test_another_server_of_the_environment_names_none(
    uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, "http://mine")
    with pytest.raises(InputError, match="contacted only if you name it"):
        tracking_uri_of({"tracking_uri": uri}, Options(tmp_path), "x")
    assert tracking_uri_of({"tracking_uri": None}, Options(tmp_path), "x") is None


# --- ids and links


HOSTILE = [
    "../../x",
    "/etc/x",
    "..",
    "",
    "a\0",
    "0123456789-explore-0/..",
    "0123456789-explore-0\n",
]


@pytest.mark.parametrize("trial_id", HOSTILE)
def test_an_id_of_another_form_is_no_path(trial_id: str, tmp_path: Path) -> None:
    context = context_of(tiny(), tmp_path)
    with pytest.raises(InputError, match="not a trial id"):
        trial_folder(context, trial_id)
    with pytest.raises(InputError, match="not a trial id"):
        run_folder.trial_folder(tmp_path, trial_id)


def test_an_id_of_our_form_is_a_folder_of_the_run(tmp_path: Path) -> None:
    found = run_folder.trial_folder(tmp_path, "0123456789-confirm-17")
    assert found == tmp_path / "trials" / "0123456789-confirm-17"


def test_links_within_a_run_are_followed_and_others_are_not(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    (run_dir / "trials").mkdir(parents=True)
    (run_dir / "file").write_text("x")
    (run_dir / "trials" / "near").symlink_to("../file")
    (run_dir / "loop").symlink_to("loop")
    check_run_folder(run_dir)
    check_run_folder(tmp_path / "nowhere")
    (tmp_path / "elsewhere").symlink_to(run_dir)
    check_run_folder(tmp_path / "elsewhere")  # the run's own folder may be linked
    for target in ("../..", "/etc/passwd", str(tmp_path / "run-2"), "../../run2/x"):
        link = run_dir / "trials" / "far"
        link.symlink_to(target)
        with pytest.raises(InputError, match=r"far: a link that leads out"):
            check_run_folder(run_dir)
        link.unlink()


def test_a_pipe_within_a_run_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trials.parquet")
    with pytest.raises(InputError, match=r"trials\.parquet: neither a file nor a folder"):
        check_run_folder(tmp_path)
    with pytest.raises(InputError, match=r"trials\.parquet: a device, not a file"):
        check_file(tmp_path / "trials.parquet")


@pytest.mark.parametrize("command", ["status", "report", "resume", "sync", "verify", "transfer"])
def test_every_command_looks_for_links_first(command: str, run_dir: Path, capsys: Any) -> None:
    outside = run_dir.parents[1] / "mine"
    outside.mkdir()
    (run_dir / "report").symlink_to(outside)
    line = refused(capsys, command, "done", "--runs-dir", run_dir.parent)
    assert "report: a link that leads out of the run's folder" in line
    assert list(outside.iterdir()) == []


# --- a journal that is gone, and what is still there


def test_a_journal_that_is_gone_is_said_with_what_is_left(run_dir: Path, capsys: Any) -> None:
    (run_dir / "events.jsonl").unlink()
    (run_dir / "trials" / "0123456789-explore-0").mkdir(parents=True)
    (run_dir / "trials.parquet").write_bytes(b"")
    line = refused(capsys, "status", "done", "--runs-dir", run_dir.parent)
    assert "events.jsonl: missing or empty" in line
    assert "trials.parquet, the folders of 1 trial" in line


def test_a_list_shows_the_runs_that_it_can_read(
    run_dir: Path, events: list[dict[str, Any]], capsys: Any
) -> None:
    runs = run_dir.parent
    for name in ("fine", TURNED):
        (runs / name).mkdir()
        told(runs / name, events)
    for name in ("gone", "gone_too"):
        (runs / name / "trials" / "x").mkdir(parents=True)
        (runs / name / "experiment.yaml").write_text("")
    (runs / "young").mkdir()
    (runs / "young" / "experiment.yaml").write_text("")
    said = refused(capsys, "list", "searches", "--runs-dir", runs)
    rows = dict(line.split("  ", 1) for line in said.splitlines()[:-1])
    assert set(rows) == {"done", "fine", "young", printable(TURNED)}
    assert "never started" in rows["young"]
    assert "finished" in rows["fine"]
    assert "gone/events.jsonl: missing" in said.splitlines()[-1]
    assert "(and 1 more)" in said.splitlines()[-1]


# --- characters that a terminal obeys


@pytest.mark.parametrize(
    "character", ["\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b"]
)
def test_control_and_format_characters_are_written_out(character: str, capsys: Any) -> None:
    text = f"a{character}b λ"
    for shown in (printable(text), one_line(text)):
        assert character not in shown
        assert shown.startswith("a\\")
        assert shown.endswith("b λ")
    say(f"{text}\nsecond line")
    err = capsys.readouterr().err
    assert err == f"{printable(text)}\nsecond line\n"


def test_a_status_obeys_no_character_of_the_run(
    run_dir: Path, events: list[dict[str, Any]], capsys: Any
) -> None:
    ends = [event for event in events if event["event"] == "completed"]
    hosts = {event["seq"]: f"\x1b[2J\u202ehost {n % 2}" for n, event in enumerate(ends)}
    changed = [{**event, "host": hosts.get(event["seq"], "")} for event in events]
    told(run_dir, changed)
    with pytest.raises(SystemExit) as ended:
        main(["status", "done", "--runs-dir", str(run_dir.parent)])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(line.isprintable() for line in out.splitlines())
    assert "\\x1b[2J\\u202ehost" in out


def test_a_page_obeys_no_character_of_the_run_either() -> None:
    assert templating.shown("a\u202eb\nc") == "a\\u202eb\nc"
    assert templating.shown(Markup("<b>\u202e</b>")) == Markup("<b>\u202e</b>")
    assert templating.shown(3) == 3


def test_a_data_set_is_not_called_by_characters_that_turn_a_line(tmp_path: Path) -> None:
    root = folder(tmp_path / TURNED)
    data = RetrievalData.from_folder(root, image_size=8, val_queries=1, cache_dir=tmp_path / "c")
    assert data.name == printable(TURNED)
    assert data.label.isprintable()
