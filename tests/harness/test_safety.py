"""Secrets stay where they are, and nothing that we start listens to the world."""

import base64
import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import tenacity
import yaml

from harness.__main__ import main
from harness.executors.executor import TrialFailed, reports_of
from harness.redaction import public_uri, redacted
from harness.session.checks import check_uri
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.tracker import Tracker
from saat.errors import InputError
from tests.harness.tiny import context_of, spec_of, tiny, tiny_raw
from tests.listening import listeners, to_the_world

SECRET = "hunter2-planted"  # no file of the project's own has it but this one
VARIABLES = {
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": f"{SECRET}-mlflow",
    "MLFLOW_TRACKING_TOKEN": f"{SECRET}-token",
    "RAY_AUTH_TOKEN": f"{SECRET}-ray".encode().hex().ljust(64, "0"),
    "AWS_ACCESS_KEY_ID": f"{SECRET}-aws",
    "AWS_SECRET_ACCESS_KEY": f"{SECRET}-aws-secret",
    "AWS_SESSION_TOKEN": f"{SECRET}-aws-session",
    "HTTPS_PROXY": f"http://proxy:{SECRET}@127.0.0.1:1",
    "SOME_SERVICE_KEY": f"{SECRET}-of-another-service",
}


def planted_in(folder: Path) -> list[str]:
    """Files with a planted secret in them, as it is or in hexadecimal digits."""
    marks = (SECRET.encode(), SECRET.encode().hex().encode())
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(mark in path.read_bytes() for mark in marks)]


# What a user may type as an address, with the secret where it must not be.
ADDRESSES = [
    f"http://me:{SECRET}@host:5000",
    f"http://{SECRET}@host",
    f"https://me:{SECRET}@[::1]:5000",
    f"http://me:a/{SECRET}@host",
    f"http://me:5/{SECRET}@host",
    f"http://me:a#{SECRET}@host",
    f"http://me:a?{SECRET}@host",
    f"http://me:{SECRET}",
    f"http://[me:{SECRET}",
    f"http://host:5000?token={SECRET}",
    f"http://host:5000/path?x={SECRET}",
    f"http://host:5000#{SECRET}",
    f"htp://me:{SECRET}@host",
    f"ftp://host/?key={SECRET}",
    f"me:{SECRET}@host",
    f"postgresql://me:{SECRET}@host/db",
    f"postgresql://me:a/{SECRET}@host/db",
    f"postgresql://host/db?password={SECRET}",
    f"mysql://host/db?ssl_token={SECRET}",
    f"sqlite:///runs.db?password={SECRET}",
]


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_with_a_secret_starts_nothing_and_is_not_repeated(
    uri: str, tmp_path: Path, runs_dir: Path, capsys: Any
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    options = ["--executor", "inline", "--runs-dir", str(runs_dir), "--tracking-uri", uri]
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), *options])
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert SECRET not in out + err
    assert err.startswith("saat: --tracking-uri")
    assert len(err.splitlines()) == 1
    assert not runs_dir.exists()
    assert SECRET not in public_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://host", "https://host:5000/path/", "HTTP://host", "http://[::1]:5000",
        "sqlite:////data/a@b/mlflow.db",
    ],
)  # fmt: skip
def test_an_address_without_a_secret_is_taken_and_told_as_it_is(uri: str) -> None:
    check_uri(uri)
    assert public_uri(uri) == uri


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"GET http://me:{SECRET}@host/a failed", "GET http://***@host/a failed"),
        (f"to http://me:a/{SECRET}@host: refused", "to http://***@host: refused"),
        (f"url: /login?user=me&token={SECRET} (Caused by", "url: /login?*** (Caused by"),
        (f"'http://host/?key={SECRET}'", "'http://host/?***'"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        ("Authorization: Basic bWU6aHVudGVyMg==", "Authorization: Basic ***"),
        (f"the proxy said {SECRET}-aws-secret", "the proxy said ***"),
        (f"of one {SECRET}-aws-secret-too and no more", "of one *** and no more"),
        ("did you mean eps? defense.eps=2", "did you mean eps? defense.eps=2"),
        ("no user or password in the address", "no user or password in the address"),
    ],
)
def test_messages_lose_their_secrets_and_nothing_else(
    text: str, told: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{SECRET}-aws-secret")
    monkeypatch.setenv("A_LONGER_SECRET", f"{SECRET}-aws-secret-too")
    monkeypatch.setenv("A_SHORT_KEY", "eps")
    assert redacted(text) == told


def test_an_unknown_key_is_refused_without_its_value(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    for pair in (f"tracking.password={SECRET}", f"name.token={SECRET}", f"defense.token=[{SECRET}"):
        with pytest.raises(SystemExit) as ended:
            main(["search", str(file), "--set", pair, "--runs-dir", str(tmp_path / "runs")])
        assert ended.value.code == 2
        assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(("kind", "status"), [(OSError, 1), (InputError, 2)])
def test_the_last_line_of_a_command_loses_its_secrets_before_it_is_cut(
    kind: type[Exception], status: int, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise kind(f"{'x' * 490} {SECRET}-aws and http://me:{SECRET}@host")

    monkeypatch.setattr("harness.experiment.file.load_experiment", refuse)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{SECRET}-aws")
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(tmp_path)])
    assert ended.value.code == status
    said = "".join(capsys.readouterr())
    assert said.startswith("saat: xxx")
    assert SECRET[:5] not in said


def test_the_reason_of_a_failed_trial_loses_its_secrets(runs_dir: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(f"proxy http://me:{SECRET}@proxy:3128 said no to {SECRET}-aws")

    monkeypatch.setattr("harness.executors.executor.run_trial", refuse)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{SECRET}-aws")
    experiment = tiny()
    spec = spec_of(experiment)
    with pytest.raises(TrialFailed) as failed:
        list(reports_of(spec, context_of(experiment, runs_dir)))
    assert SECRET not in str(failed.value)
    assert "proxy http://***@proxy:3128 said no to ***" in str(failed.value)
    assert (runs_dir / "tiny" / "trials" / spec.trial_id / "error.log").is_file()
    assert planted_in(runs_dir) == []


class Leaky(BaseHTTPRequestHandler):
    """A tracking server that repeats secrets in what it answers."""

    def do_POST(self) -> None:
        body = f"denied to {self.headers.get('Authorization')}".encode()
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"http://me:{SECRET}@127.0.0.1:1/?t={SECRET}")
        else:
            self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("path", ["", "/moved"])
def test_what_a_tracking_server_repeats_is_told_nowhere(
    path: str, runs_dir: Path, monkeypatch: Any, caplog: Any, capfd: Any
) -> None:
    for name, value in VARIABLES.items():
        if name.startswith("MLFLOW"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_fixed(0.05))
    server = HTTPServer(("127.0.0.1", 0), Leaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run_dir = runs_dir / "tiny"
    run_dir.mkdir(parents=True)
    tags = {"saat.search_id": "s", "saat.protocol": "p"}
    tracker = Tracker(
        MlflowRuns(f"http://127.0.0.1:{server.server_port}{path}", run_dir, tiny(), tags)
    )
    with caplog.at_level(logging.DEBUG, logger="harness"):
        tracker.start([])
        tracker.handle({"seq": 0, "event": "reported"})
        for _ in range(200):
            if "WARNING" in caplog.text:
                break
            time.sleep(0.05)
        left = tracker.close(0.5)
    server.shutdown()
    server.server_close()
    said = left + caplog.text + "".join(capfd.readouterr())
    assert "did not accept 1 event" in left
    assert "not within" not in left, "there is a reason to be told"
    user, password = (VARIABLES[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    for part in (SECRET, base64.b64encode(f"{user}:{password}".encode()).decode()):
        assert part not in said


# --- a whole search, with secrets all around it


on_linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def small(folder: Path, executor: str) -> Path:
    changes = {
        "pretrain.epochs": 1,
        "defense.epochs": 1,
        "search.num_samples": 1,
        "search.max_concurrent": 1,
        "confirm.max_configs": 0,
        "evaluation.steps": 1,
        "name": executor,
    }
    file = folder / f"{executor}.yaml"
    file.write_text(yaml.safe_dump(tiny_raw(changes)))
    return file


@pytest.mark.lengthy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
@on_linux
def test_a_search_writes_no_secret_and_listens_on_this_machine_only(
    executor: str, tmp_path: Path, runs_dir: Path, request: Any
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ray_folder = Path(tempfile.mkdtemp(prefix="saat-ray-", dir="/tmp"))  # sockets: a short path
    request.addfinalizer(lambda: shutil.rmtree(ray_folder))
    environment = {**os.environ, **VARIABLES, "HOME": str(home), "RAY_TMPDIR": str(ray_folder)}
    arguments = ["search", small(tmp_path, executor), "--executor", executor]
    process = subprocess.Popen(
        command(*arguments, "--runs-dir", runs_dir),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,
    )
    heard: dict[str, str] = {}
    with process:
        reader = threading.Thread(target=lambda: said.append(process.stdout.read()))  # type: ignore[union-attr]
        said: list[bytes] = []
        reader.start()
        while process.poll() is None:
            heard |= listeners(process.pid)
            time.sleep(0.5)
        reader.join()
    assert process.returncode == 0, said[0].decode()
    assert SECRET.encode() not in said[0]
    assert (runs_dir / "mlflow.db").is_file()
    assert planted_in(runs_dir) == []
    assert executor == "inline" or planted_in(ray_folder) == [], "Ray's own logs"
    assert to_the_world(heard) == {}
    assert any("gcs_server" in who for who in heard.values()) == (executor == "ray")
    assert list(home.rglob("*token*")) == []
    loose = [p for p in runs_dir.rglob("*") if stat.S_IMODE(p.stat().st_mode) & 0o022]
    assert loose == [], "others may write"


@pytest.mark.ray
@pytest.mark.timeout(600)
@on_linux
def test_ray_on_this_machine_makes_a_token_that_is_in_no_file(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from harness.executors.ray_cluster import connect\n"
        "connect(None, cpus=1)\n"
        "print(os.environ['RAY_AUTH_MODE'], os.environ['RAY_AUTH_TOKEN'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**kept, "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        mode, token = process.stdout.readline().split()
        heard = listeners(process.pid)
        process.communicate("")
    assert mode == "token"
    assert len(token) == 64
    assert heard
    assert to_the_world(heard) == {}
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.lengthy
@pytest.mark.timeout(600)
@on_linux
def test_the_ui_listens_on_this_machine_only(runs_dir: Path) -> None:
    from mlflow import MlflowClient

    from harness.tracking.store import default_uri

    runs_dir.mkdir()
    MlflowClient(default_uri(runs_dir)).search_experiments()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command("ui", "--runs-dir", runs_dir, "--port", port), stdout=quiet, stderr=quiet
    )
    heard: dict[str, str] = {}
    try:
        for _ in range(600):
            heard |= listeners(process.pid)
            if f"127.0.0.1 {port}" in heard or process.poll() is not None:
                break
            time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(60)
    assert f"127.0.0.1 {port}" in heard
    assert to_the_world(heard) == {}
