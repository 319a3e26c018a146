"""Preflight: every kind of problem is named, nothing is left behind, and nothing hangs."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from filelock import FileLock

from harness.__main__ import main
from harness.experiment.configs import config_at
from harness.preflight import findings
from harness.preflight.command import Outcome
from harness.preflight.findings import Cluster, Node
from harness.preflight.node import DataReport, NodeReport, NodeRequest, code_digest, report_node
from harness.preflight.shared_folder import (
    SharedFolder,
    check_token,
    leave_token,
    shared_folder_check,
)
from harness.preflight.tracker import ask_tracker
from harness.trial.stages import trial_data
from saat.errors import InputError
from tests.harness.tiny import tiny, tiny_raw
from tests.saat.data.samples import splits, write_images, write_pairs

GB = 10**9
VERSIONS = {
    "python": "3.11.4", "torch": "2.15.0", "torchvision": "0.29.2", "ray": "2.60.0",
    "saat-harness": "0.1.0",
}  # fmt: skip
DATA = DataReport("f" * 64, "none", 4000, GB, "d" * 128)
GOOD = NodeReport(
    host="a", versions=VERSIONS, code="c", gpus=2, gpu_names=["H200"] * 2, gpu_driver="580.1",
    cpus=16, omp_threads="1", token=True, runs_free=900 * GB, cache_free=80 * GB,
    data=DATA,
)  # fmt: skip
NODE = Node("10.0.0.2", 16, 2, GOOD, offset_s=0.01, accuracy_s=0.001)


def cluster(node: Node = NODE, **changes: Any) -> Cluster:
    given: dict[str, Any] = {"cpus_per_trial": 4, "gpus_per_trial": 1.0, "trials": 4}
    return Cluster(GOOD, [replace(NODE, name="10.0.0.1"), node], **{**given, **changes})


def says(**changes: Any) -> Node:
    """The second node with another report."""
    return replace(NODE, report=replace(GOOD, **changes))


def data(**changes: Any) -> Node:
    return says(data=replace(DATA, **changes))


def test_a_cluster_in_order_has_neither_failures_nor_warnings() -> None:
    assert findings.failures(cluster()) == []
    assert findings.warnings(cluster()) == []


@pytest.mark.parametrize("decoded", [(True, False), (False, True), (False, False)])
def test_images_that_are_not_decoded_yet_differ_from_none(decoded: tuple[bool, bool]) -> None:
    own, drivers = (replace(DATA, pixels=DATA.pixels if there else "") for there in decoded)
    held = replace(cluster(says(data=own)), driver=replace(GOOD, data=drivers))
    assert findings.failures(held) == []


def with_version(package: str, version: str) -> Node:
    return says(versions=VERSIONS | {package: version})


WITHOUT_TORCH = {name: version for name, version in VERSIONS.items() if name != "torch"}
FAILURES: list[tuple[Node, str]] = [
    (with_version("python", "3.12.1"), "python 3.12.1; the driver has 3.11.4"),
    (with_version("torch", "2.15.0+cpu"), "torch 2.15.0+cpu; the driver has 2.15.0"),
    (with_version("torchvision", "0.29.1"), "torchvision 0.29.1; the driver has 0.29.2"),
    (with_version("ray", "2.59.0"), "ray 2.59.0; the driver has 2.60.0"),
    (says(versions=WITHOUT_TORCH), "torch is missing; the driver has 2.15.0"),
    (
        says(versions=VERSIONS | {"saat-harness": "0.2.0"}, code="d"),
        "saat-harness 0.2.0; the driver has 0.1.0",
    ),
    (says(code="d"), "its saat-harness is other code than the driver's, of the same version"),
    (says(gpus=1), "Ray offers 2 GPUs, torch can use 1"),
    (
        data(fingerprint="0" * 64),
        "data: fingerprint 0000000000; the driver's is ffffffffff: other lists or labels",
    ),
    (
        data(source_bytes=3999),
        "data: image files of 3999 bytes in all; the driver's have 4000",
    ),
    (
        data(pixels="e" * 128),
        "data: decoded images differ from the driver's: other files, or another Pillow",
    ),
    (data(weights="sha256:1"), "data: model.weights is another file than the driver's"),
    (data(to_decode=81 * GB), "cache: 81.0 GB to decode, 80.0 GB free"),
    (says(data=None, problems={"data": "/d: not a folder"}), "data: /d: not a folder"),
    (says(runs_free=None, problems={"runs": "/r does not show"}), "runs: /r does not show"),
    (says(cache_free=None, problems={"cache": "/c: a file"}), "cache: /c: a file"),
    (replace(NODE, report=None, problems=["no answer within 60 s"]), "no answer within 60 s"),
    (replace(NODE, problems=["runs: the driver does not see"]), "runs: the driver does not see"),
]
WARNINGS: list[tuple[Node, str]] = [
    (replace(NODE, offset_s=-2.5), "its clock is -2.5 s from the driver's (± 0.0 s)"),
    (replace(NODE, offset_s=None), "its clock could not be compared with the driver's"),
    (says(cpus=8), "Ray offers 16 CPUs, a process may use 8"),
    (says(omp_threads="16"), "OMP_NUM_THREADS=16, but a trial has 4 CPUs"),
    (says(runs_free=10**8), "runs: only 100.0 MB free"),
    (replace(says(gpus=0), gpus=0), "nvidia-smi lists 2 GPUs, torch can use none"),
]


@pytest.mark.parametrize(("node", "line"), FAILURES, ids=lambda part: str(part)[:60])
def test_every_failure_is_a_line_that_names_the_node(node: Node, line: str) -> None:
    assert findings.failures(cluster(node)) == [f"10.0.0.2: {line}"]


@pytest.mark.parametrize(("node", "line"), WARNINGS, ids=lambda part: str(part)[:60])
def test_every_warning_is_a_line_that_names_the_node(node: Node, line: str) -> None:
    assert findings.warnings(cluster(node)) == [f"10.0.0.2: {line}"]
    assert findings.failures(cluster(node)) == []


def test_what_is_wrong_with_no_single_node_is_told_once() -> None:
    bad = replace(GOOD, problems={"data": "/d: not a folder"})
    assert findings.failures(cluster(tracker="tracker http://h: refused", trials=0)) == [
        "tracker http://h: refused",
        "resources: 4 CPUs and 1 GPU per trial fit on no node; the most are 16 CPUs and 2 GPUs",
    ]
    assert findings.failures(cluster(trials=0, autoscaling=True)) == []
    assert findings.warnings(cluster(says(omp_threads="4"))) == []
    assert findings.failures(cluster(data(pixels=""))) == [], "not decoded there yet"
    assert findings.failures(replace(cluster(), driver=bad)) == ["driver: data: /d: not a folder"]
    assert findings.warnings(cluster(departed=["10.0.0.3"])) == [
        "nodes that have left the cluster: 10.0.0.3"
    ]
    assert findings.warnings(cluster(says(gpu_driver="570.2"))) == [
        "GPU drivers differ between nodes: 570.2, 580.1"
    ]
    (line,) = findings.warnings(cluster(says(token=False)))
    assert line.startswith("Ray asks for no token on 10.0.0.2: ")


def test_a_cache_that_is_nearly_full_is_a_warning_once_all_is_decoded() -> None:
    assert GOOD.data is not None
    full = says(cache_free=10**6, data=replace(GOOD.data, to_decode=0))
    assert findings.warnings(cluster(full)) == ["10.0.0.2: cache: only 1.0 MB free"]
    assert findings.failures(cluster(full)) == []


def test_an_offset_within_what_the_round_trip_leaves_open_is_no_warning() -> None:
    assert findings.warnings(cluster(replace(NODE, offset_s=4.0, accuracy_s=2.5))) == []


def test_this_machine_alone_needs_no_token_and_tells_its_problems_once() -> None:
    alone = replace(GOOD, token=False, problems={"data": "/d: not a folder"}, data=None)
    found = Cluster(alone, [Node("a", 16, 2, alone, offset_s=0.0)], is_cluster=False)
    assert findings.failures(found) == ["a: data: /d: not a folder"]
    assert findings.warnings(found) == []


def test_the_table_has_a_row_a_node_and_the_verdict_at_its_end() -> None:
    found = cluster(replace(NODE, report=None, problems=["no answer within 60 s"]))
    lines = Outcome(found, "", findings.failures(found), ["w"]).text().splitlines()
    assert [line.split()[0] for line in lines] == [
        "node",
        "10.0.0.1",
        "10.0.0.2",
        "trials",
        "warning:",
    ]
    assert "2× H200" in lines[1]
    assert " on " in lines[1]
    assert lines[2] == "10.0.0.2    no answer"
    well = Outcome(cluster(), "tracker t: answers", [], []).text().splitlines()
    assert well[-3:] == ["tracker t: answers", "trials at once: 4", "ok"]


def test_who_meets_in_one_folder_sees_each_other_and_leaves_nothing(runs_dir: Path) -> None:
    with shared_folder_check(runs_dir) as place:
        for name in ("driver", "node"):
            leave_token(place, name)
            assert check_token(place, name) == []
    assert not runs_dir.exists()
    runs_dir.mkdir()
    (runs_dir / "kept").touch()
    with shared_folder_check(runs_dir) as place:
        leave_token(place, "node")
    assert [path.name for path in runs_dir.iterdir()] == ["kept"]


def test_folders_that_are_not_the_same_are_told_apart(runs_dir: Path, tmp_path: Path) -> None:
    with shared_folder_check(runs_dir) as place:
        other = tmp_path / "other"
        with pytest.raises(InputError, match="does not show what the driver wrote"):
            leave_token(replace(place, folder=str(other / "x")), "node")
        with pytest.raises(InputError, match="something else than the driver wrote"):
            leave_token(replace(place, token="old"), "node")
        assert "does not see what the node wrote" in check_token(place, "node")[0]
        (Path(place.folder) / "node").write_text("old")
        assert "something else than the node wrote" in check_token(place, "node")[0]


def test_locks_that_do_not_hold_are_seen(runs_dir: Path, monkeypatch: Any) -> None:
    with shared_folder_check(runs_dir) as place:
        monkeypatch.setattr(FileLock, "acquire", lambda self: None)
        with pytest.raises(InputError, match="a file lock of the driver does not hold here"):
            leave_token(place, "node")
    monkeypatch.undo()

    def refuse(self: FileLock) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(InputError, match="no file locks there"), shared_folder_check(runs_dir):
        pass
    assert not runs_dir.exists()


def request(folder: Path, config: Any = None) -> NodeRequest:
    cache = os.environ["SAAT_CACHE"]
    return NodeRequest(SharedFolder(str(folder), ""), cache, config)


def listed(root: Path) -> Any:
    """The setting of a small folder of lists."""
    write_images(root, splits())
    write_pairs(root, splits())
    places = {"path": str(root), "image_size": 16, "val_queries": 5}
    return config_at(tiny({"data": places, "model.backbone": "small_cnn"}), {})


def test_a_node_sees_the_data_that_loading_them_gives(tmp_path: Path) -> None:
    config = listed(tmp_path / "set")
    found = report_node(request(tmp_path, config), "node")
    assert found.data is not None
    assert "data" not in found.problems
    sizes = sum(path.stat().st_size for path in (tmp_path / "set" / "images").iterdir())
    assert found.data.source_bytes == sizes
    assert found.data.to_decode == 25 * 3 * 16 * 16
    assert found.data.pixels == ""
    other = config.data.model_copy(update={"seed": 1})
    changed = config.model_copy(update={"data": other})
    differs = report_node(request(tmp_path, changed), "node").data
    assert differs is not None
    assert differs.fingerprint != found.data.fingerprint
    trial_data(config, os.environ["SAAT_CACHE"])
    again = report_node(request(tmp_path, config), "node").data
    assert again is not None
    assert len(again.pixels) == 128
    assert again == replace(found.data, to_decode=0, pixels=again.pixels)


def test_a_node_without_an_image_says_which(tmp_path: Path) -> None:
    config = listed(tmp_path / "set")
    (tmp_path / "set" / "images" / "d3.png").unlink()
    found = report_node(request(tmp_path, config), "node")
    assert found.data is None
    assert "d3.png: no such file" in found.problems["data"]


def test_a_node_whose_weights_are_not_there_or_do_not_fit_says_so(tmp_path: Path) -> None:
    weights = tmp_path / "there.pt"
    weights.touch()
    changes = {"model.backbone": "alexnet", "model.weights": str(weights), "data.image_size": 64}
    config = config_at(tiny(changes), {})
    found = report_node(request(tmp_path, config), "node")
    assert f"model.weights {weights}: not a state dict of alexnet" in found.problems["data"]
    weights.unlink()
    found = report_node(request(tmp_path, config), "node")
    said = f"model.weights {weights}: no such file; none, imagenet or a path"
    assert found.problems["data"] == said


def test_other_code_has_another_digest(monkeypatch: Any) -> None:
    before = code_digest()
    assert code_digest() == before
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda p: read(p) + (b"#" if p.name == "victim.py" else b"")
    )
    assert code_digest() != before


class Server:
    """Answers every request with one status and body, or after a while."""

    def __init__(self, status: int, body: bytes = b"{}", wait_s: float = 0.0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                time.sleep(wait_s)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [(200, b"{}", ""), (401, b"who?", "401"), (200, b"<html>", "not in a valid JSON")],
)
def test_a_server_is_asked_whether_it_is_one(
    status: int, body: bytes, problem: str, runs_dir: Path
) -> None:
    server = Server(status, body)
    try:
        line, found = ask_tracker(server.uri, runs_dir)
    finally:
        server.close()
    assert problem in found
    assert (server.uri in line, found == "") == ((True, True) if not problem else (False, False))


def test_a_server_that_is_not_there_or_does_not_answer_is_not_waited_for(
    runs_dir: Path, monkeypatch: Any
) -> None:
    began = time.monotonic()
    assert "refused" in ask_tracker("http://127.0.0.1:1", runs_dir)[1]
    monkeypatch.setattr("harness.preflight.tracker.TIMEOUT_S", 1)
    server = Server(200, wait_s=5)
    try:
        assert "timed out" in ask_tracker(server.uri, runs_dir)[1].lower()
    finally:
        server.close()
    assert time.monotonic() - began < 20


def test_a_store_that_a_search_would_refuse_is_told(tmp_path: Path) -> None:
    assert "is not writable" in ask_tracker("sqlite:////proc/x.db", tmp_path)[1]
    with sqlite3.connect(tmp_path / "mlflow.db") as old:
        old.execute("CREATE TABLE alembic_version (version_num TEXT)")
        old.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")  # MLflow's first
    assert "written by an older MLflow" in ask_tracker(None, tmp_path)[1]


def test_the_embedded_store_is_opened_only_where_it_is(runs_dir: Path) -> None:
    assert ask_tracker(None, runs_dir)[1] == ""
    assert not runs_dir.exists()
    runs_dir.mkdir()
    (runs_dir / "mlflow.db").write_bytes(b"no data base, but long enough to be looked at" * 9)
    assert "not a database" in ask_tracker(None, runs_dir)[1]
    (runs_dir / "mlflow.db").unlink()
    with sqlite3.connect(runs_dir / "mlflow.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    assert ask_tracker(None, runs_dir)[1] == ""
    connection.close()


def ended(*arguments: object) -> int:
    with pytest.raises(SystemExit) as status:
        main(["preflight", *map(str, arguments)])
    return int(status.value.code or 0)


def test_this_machine_is_checked_without_ray(tmp_path: Path, runs_dir: Path, capsys: Any) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    assert ended(file, "--runs-dir", runs_dir) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1] == "ok"
    assert out.splitlines()[1].startswith(socket.gethostname())
    assert not runs_dir.exists()


def test_a_failed_check_is_status_1_and_a_line(tmp_path: Path, runs_dir: Path, capsys: Any) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.cpus_per_trial": 999})))
    tracker = "http://127.0.0.1:1"
    assert ended(file, "--runs-dir", runs_dir, "--tracking-uri", tracker, "--json") == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["ok"] is False
    assert [f"saat: {line}" for line in found["failures"]] == err.splitlines()
    first, second = err.splitlines()
    assert first.startswith(f"saat: tracker {tracker}: ")
    assert second.startswith("saat: resources: 999 CPUs and 0 GPUs per trial fit on no node")
    assert found["nodes"][0]["report"]["versions"] == found["driver"]["versions"]
    assert not runs_dir.exists()


def test_an_address_from_the_environment_at_which_nobody_answers_is_refused_at_once(
    runs_dir: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    began = time.monotonic()
    assert ended("--address", "auto", "--runs-dir", runs_dir) == 2
    assert time.monotonic() - began < 60
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("saat: --address auto: no Ray cluster answers (")
    assert not runs_dir.exists()


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a Ray head of its own, without a CPU to offer and without a token."""
    temp = tempfile.mkdtemp(prefix="saat-ray-", dir="/tmp")  # sockets need a short path
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block",
        f"--port={port}", f"--temp-dir={temp}", "--num-cpus=0", "--include-dashboard=false",
        "--object-store-memory=100000000", "--disable-usage-stats",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=NO_TOKEN, stdout=quiet, stderr=quiet)
    try:
        until_up(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(temp, ignore_errors=True)


NO_TOKEN = {**os.environ, "RAY_AUTH_MODE": "disabled"}


def ray_error(text: str) -> Exception:
    import ray

    return ray.exceptions.RayError(text)


def until_up(port: int) -> None:
    for _ in range(480):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail("Ray's head did not start")


def test_what_ray_prints_is_not_among_the_answers(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(request: NodeRequest, *_: Any) -> tuple[NodeReport, list[Node], list[str]]:
        print("(raylet) The node with node id: 7628ac35 is gone")
        return GOOD, [NODE], []

    monkeypatch.setattr("harness.executors.ray_cluster.connect", lambda address: None)
    monkeypatch.setattr("harness.preflight.cluster.ask_nodes", told)
    with pytest.raises(SystemExit):
        main(["preflight", "--address", "10.0.0.1:6379", "--runs-dir", str(runs_dir), "--json"])
    out, err = capsys.readouterr()
    assert [node["name"] for node in json.loads(out)["nodes"]] == ["10.0.0.2"]
    assert err == ""


def on_cluster(head: str, runs_dir: Path, *arguments: object, first: str = "") -> tuple[int, Any]:
    """Preflight in a process of its own, after the statements ``first``: status and findings."""
    options = ["preflight", *map(str, arguments), "--address", head, "--runs-dir", str(runs_dir)]
    program = f"{first}\nfrom harness.__main__ import main\nmain({[*options, '--json']})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=NO_TOKEN,
        timeout=500,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.stderr.splitlines() == [f"saat: {line}" for line in found["failures"]]
    assert not runs_dir.exists()
    return done.returncode, found


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_node_of_a_real_cluster_answers_though_it_has_no_cpu_left(
    head: str, tmp_path: Path, runs_dir: Path
) -> None:
    config = tiny_raw({"data": {"path": str(tmp_path / "set"), "image_size": 16}})
    config["data"]["val_queries"] = 5
    write_images(tmp_path / "set", splits())
    write_pairs(tmp_path / "set", splits())
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(config))
    options = ["--cache-dir", tmp_path / "cache", "--timeout", 240]  # for machines under load
    status, found = on_cluster(head, runs_dir, file, *options)
    (node,) = found["nodes"]
    assert status == 1
    assert found["failures"] == [
        "resources: 1 CPU and 0 GPUs per trial fit on no node; the most are 0 CPUs and 0 GPUs"
    ]
    assert node["problems"] == []
    assert node["report"]["problems"] == {}
    assert node["report"]["data"] == found["driver"]["data"]
    assert node["report"]["code"] == found["driver"]["code"]
    assert abs(node["offset_s"]) <= node["accuracy_s"] + 0.01  # the same clock
    assert node["accuracy_s"] < 1
    assert any(line.startswith("Ray asks for no token on") for line in found["warnings"])


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_node_that_does_not_answer_is_named_and_not_waited_for(
    head: str, tmp_path: Path, runs_dir: Path
) -> None:
    # Its worker dies, which Ray sees before the command ends: nothing may be said of it.
    died = tmp_path / "died"
    first = f"""
import os, pathlib, time, ray
from harness.preflight import cluster

died = pathlib.Path({str(died)!r})

def report(request, name):
    time.sleep(6)
    died.touch()
    os.kill(os.getpid(), 9)

def cancel(asked, force):  # not heard in time
    while not died.exists():
        time.sleep(0.1)
    time.sleep(8)

ray.cancel = cancel
cluster.on_node = lambda _, node, plain=cluster.on_node: plain(report, node)
"""
    status, found = on_cluster(head, runs_dir, "--timeout", 5, first=first)
    (node,) = found["nodes"]
    assert status == 1
    assert found["failures"] == [f"{node['name']}: no answer within 5 s"]
    assert node["report"] is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ray_error("Traceback\n  in task\nKeyError: 'harness'"), "KeyError: 'harness'"),
        (TypeError("unexpected keyword argument 'more'"), "unexpected keyword argument 'more'"),
    ],
)
def test_nodes_that_cannot_be_asked_are_named_and_say_why(
    error: Exception, line: str, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes with the same address have different names."""
    import ray

    from harness.preflight import cluster as nodes_of_ray

    def refuse(*_: Any, timeout: float) -> None:
        raise error

    entries = [("aaaaaaaa", "10.0.0.1"), ("bbbbbbbb", "10.0.0.2"), ("cccccccc", "10.0.0.1")]
    alive = [
        {"NodeID": node_id, "NodeManagerAddress": address, "Alive": True, "Resources": {}}
        for node_id, address in entries
    ]
    monkeypatch.setattr(ray, "nodes", lambda: alive)
    monkeypatch.setattr(ray, "wait", lambda *_, **__: None)
    monkeypatch.setattr(ray, "get", refuse)
    task = SimpleNamespace(remote=lambda *_: None)
    monkeypatch.setattr(nodes_of_ray, "on_node", lambda *_: task)
    _, nodes, _ = nodes_of_ray.ask_nodes(request(runs_dir), 60, lambda: GOOD)
    assert [node.name for node in nodes] == ["10.0.0.1#aaaaaa", "10.0.0.1#cccccc", "10.0.0.2"]
    assert [node.problems for node in nodes] == [[f"could not be asked: {line}"]] * 3
