"""``saat ui``: what keeps it from serving is told before an address is."""

import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.__main__ import main
from harness.tracking.store import default_uri, make_tables


def test_a_port_that_is_taken_is_told_at_once_with_one_that_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["ui", "--runs-dir", str(tmp_path), "--port", str(port)])
        out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"saat: --port {port}: Address already in use; another one, for example")
    free = int(line.rpartition(" ")[2])
    assert free != port


def test_a_search_that_is_not_there_is_told_with_the_nearest_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = default_uri(tmp_path)
    make_tables(uri)
    MlflowClient(uri).create_experiment("tiny", tmp_path.as_uri())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    with pytest.raises(SystemExit) as ended:
        main(["ui", "tinny", "--runs-dir", str(tmp_path), "--port", str(port)])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    path = tmp_path / "mlflow.db"
    (line,) = (line for line in err.splitlines() if line.startswith("saat: "))  # MLflow logs too
    assert line == f"saat: tinny: no such search in {path}; did you mean tiny?"
