"""An embedded tracking store is there with all its tables, or not at all."""

import threading
from pathlib import Path
from typing import Any

import mlflow
import pytest

from harness.tracking import store as tables
from harness.tracking.store import make_tables

_MAKE = tables._make


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
    monkeypatch.setattr(tables, "_make", _MAKE)


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
