"""The tables of an embedded tracking store: made whole, or not there."""

from pathlib import Path

from filelock import FileLock

from saat.checkpoint import replacing


def make_tables(uri: str) -> None:
    """Make the SQLite file of ``uri`` with MLflow's tables, if it is not there.

    MLflow makes them in many small transactions, and cannot open the file of a process that died
    among them ever again. So they are made beside it, and the file then takes its name.

    Args:
        uri: a tracking URI; all but SQLite files are left alone.
    """
    path = _file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.lock"):
        for half in path.parent.glob(f".*.{path.name}*"):
            half.unlink(missing_ok=True)
        if not path.exists():  # another search may have made it meanwhile
            with replacing(path) as temporary:
                _make(temporary)


def _make(path: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{path.resolve()}").search_experiments(max_results=1)


def _file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)
