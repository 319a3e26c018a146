"""An embedded tracking store is there with all its tables, or not at all."""

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from harness.preflight.tracker import ask_tracker
from harness.tracking import store as tables
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.store import check_store, default_uri, make_tables
from harness.tracking.tracker import Tracker
from saat.errors import InputError
from tests.harness.tiny import tiny

_MAKE = tables.write_tables


class Maker:
    """Stands for MLflow: makes the file in two steps and may be stopped between them."""

    stopped_by: BaseException | None = None
    between: Any = staticmethod(lambda: None)
    made: list[Path]

    def __init__(self, uri: str) -> None:
        self._path = Path(uri.removeprefix("sqlite:///"))

    def search_experiments(self, max_results: int) -> None:
        assert max_results == 1
        self.made.append(self._path)
        self._path.write_text("half")
        self._path.with_name(f"{self._path.name}-journal").touch()
        self.between()
        if self.stopped_by is not None:
            raise self.stopped_by
        self._path.with_name(f"{self._path.name}-journal").unlink()
        self._path.write_text("whole")


@pytest.fixture(autouse=True)
def made_by_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a copy, as in all other tests."""
    monkeypatch.setattr(tables, "write_tables", _MAKE)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> type[Maker]:
    class Mine(Maker):
        made: list[Path] = []  # noqa: RUF012

    monkeypatch.setattr(mlflow, "MlflowClient", Mine)
    return Mine


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_what_is_there_is_whole_at_any_time(tmp_path: Path, maker: type[Maker]) -> None:
    store = tmp_path / "runs" / "mlflow.db"
    seen: list[bool] = []
    maker.between = staticmethod(lambda: seen.append(store.exists()))
    make_tables(f"sqlite:///{store}")
    assert seen == [False]
    assert store.read_text() == "whole"
    store.write_text("used")
    make_tables(f"sqlite:///{store}")
    assert store.read_text() == "used"
    assert names(store.parent) == ["mlflow.db"]


def test_a_maker_that_dies_leaves_no_store_and_the_next_one_clears_up(
    tmp_path: Path, maker: type[Maker], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "mlflow.db"
    (tmp_path / ".4711.mlflow.db").write_text("half")  # of a maker that was killed
    (tmp_path / ".4711.mlflow.db-journal").write_text("")
    (tmp_path / ".4711.other.db").write_text("not ours")
    with monkeypatch.context() as patch:
        patch.setattr(maker, "stopped_by", OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space"):
            make_tables(f"sqlite:///{store}")
    assert not store.exists()
    make_tables(f"sqlite:///{store}")
    assert store.read_text() == "whole"
    assert names(tmp_path) == [".4711.other.db", "mlflow.db"]


def test_two_searches_that_begin_together_share_one_store(
    tmp_path: Path, maker: type[Maker]
) -> None:
    store = tmp_path / "mlflow.db"
    other = threading.Thread(target=make_tables, args=[f"sqlite:///{store}"])

    def begin_the_other() -> None:
        if len(maker.made) == 1:
            other.start()
            other.join(0.3)
            assert other.is_alive(), "it waits"

    maker.between = staticmethod(begin_the_other)
    make_tables(f"sqlite:///{store}")
    other.join()
    assert len(maker.made) == 1


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "postgresql://host/db", "sqlite://"])
def test_only_files_are_made(uri: str, maker: type[Maker]) -> None:
    make_tables(uri)
    assert maker.made == []


def test_mlflow_uses_a_store_made_so(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    make_tables(uri)
    client = mlflow.MlflowClient(uri)
    run = client.create_run(client.create_experiment("one")).info.run_id
    client.log_metric(run, "value", 0.5)
    assert client.get_run(run).data.metrics == {"value": 0.5}


# What cannot be used is told before anything is tried


def test_a_store_of_this_version_is_taken_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    check_store(uri)
    assert names(tmp_path) == []
    make_tables(uri)
    check_store(uri)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("BEGIN EXCLUSIVE")  # another search writes to it
        check_store(uri)
    check_store("http://127.0.0.1:9")


def test_a_store_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "mlflow.db", Path.open
    sqlite3.connect(path).close()
    path.touch()

    def refuse(self: Path, mode: str = "r", *options: Any, **named: Any) -> Any:
        if self == path and "+" in mode:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode, *options, **named)

    check_store(f"sqlite:///{path}")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"mlflow\.db: .*Permission denied"):
        check_store(f"sqlite:///{path}")


def test_tables_of_another_version_are_not_tried_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only the server's own check tells, as of a data base that is no file."""
    tries: list[str] = []

    def outdated(tracking_uri: str) -> None:
        tries.append(tracking_uri)
        raise MlflowException("Detected out-of-date database schema (found version 1); upgrade")

    monkeypatch.setattr(mlflow, "MlflowClient", outdated)
    runs = MlflowRuns("http://host", tmp_path, tiny(), {"saat.search_id": "x"})
    tracker = Tracker(runs)
    tracker.start([{"seq": 0, "event": "started"}])
    left = tracker.close(timeout=20)
    assert "Detected out-of-date database schema" in left
    assert len(tries) == 1


@pytest.mark.slow
def test_a_store_lies_in_its_folder_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = "a b#c%d ä&e;f=g"
    runs_dir = tmp_path / folder
    uri = default_uri(runs_dir)
    make_tables(uri)
    client = mlflow.MlflowClient(uri)
    artifacts = (runs_dir / "mlartifacts" / "one").resolve().as_uri()
    run = client.create_run(client.create_experiment("one", artifacts)).info.run_id
    client.log_text(run, "hello", "note.txt")
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    assert names(runs_dir) == ["mlartifacts", "mlflow.db"]
    assert len(list(runs_dir.glob("mlartifacts/one/*/artifacts/note.txt"))) == 1
    assert ask_tracker(uri, runs_dir)[1] == ""


@pytest.mark.parametrize("folder", ["a?b", "a%20b", "a?b%41"])
def test_a_folder_that_a_url_cannot_name_is_refused(tmp_path: Path, folder: str) -> None:
    """MLflow takes the rest for options, or makes a folder of the name as it is written."""
    with pytest.raises(InputError, match=re.escape(str(tmp_path / folder))) as refused:
        default_uri(tmp_path / folder)
    assert "\n" not in str(refused.value)
