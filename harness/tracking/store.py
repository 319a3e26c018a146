"""The SQLite file of the embedded tracking store: created whole, and checked before use."""

import importlib.util
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from harness.files import writable_parent
from saat.atomic_files import replacing
from saat.errors import InputError, one_line


def make_tables(uri: str) -> None:
    """Create the SQLite file of ``uri`` with MLflow's tables, if it does not exist.

    MLflow creates its tables in many small transactions. If its process dies in between, MLflow
    can never open the file again. So the tables are created in a temporary file, which is renamed.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.lock"):
        for half in path.parent.glob(f".*.{path.name}*"):
            half.unlink(missing_ok=True)
        if not path.exists():  # another search may have created it meanwhile
            with replacing(path) as temporary:
                write_tables(temporary)


def write_tables(path: Path) -> None:
    """Let MLflow make its tables in a new SQLite file."""
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{path.resolve()}").search_experiments(max_results=1)


def default_uri(runs_dir: Path) -> str:
    """The embedded SQLite store of a folder of runs.

    Raises:
        InputError: the folder's path has characters with another meaning in a URL.
    """
    path = runs_dir.resolve() / "mlflow.db"
    if "?" in str(path) or unquote(str(path)) != str(path):
        raise InputError(
            f"{runs_dir}: MLflow's database cannot be there: its URL must have no ? or %"
        )
    return f"sqlite:///{path}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite URI; None for other URIs, and for a database in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)


def check_store(uri: str) -> None:
    """Refuse a SQLite file that cannot be used, or was written by another version of MLflow.

    The tracker would retry for minutes: to it, most errors look like a server that is down.
    """
    path = sqlite_file(uri)
    if path is None:
        return
    if not path.exists():
        writable_parent(path.parent)
        return
    if not path.is_file():
        raise InputError(f"{path}: not a file")
    try:
        path.open("r+b").close()
        revision = _revision(path)
    except (OSError, sqlite3.DatabaseError) as error:
        raise InputError(f"{path}: {one_line(error, 160)}") from None
    known, newest = _revisions()
    if revision is None or newest is None or revision == newest:
        return
    if revision not in known:
        raise InputError(f"{path}: written by a newer MLflow than the one installed here")
    raise InputError(
        f"{path}: written by an older MLflow; back it up, then: "
        f"mlflow db upgrade {shlex.quote(uri)}"
    )


def _revision(path: Path) -> str | None:
    """The version of MLflow's tables; None without such tables, or while another process writes."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, timeout=0, uri=True)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return None if found is None else str(found[0])


def _revisions() -> tuple[set[str], str | None]:
    """All versions of the tables that the installed MLflow knows, and the newest one, if certain.

    They are read from the text of MLflow's migrations, because importing them takes seconds.
    """
    spec = importlib.util.find_spec("mlflow")
    known, replaced = set[str](), set[str]()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder, "store/db_migrations/versions").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            known.update(re.findall(r"^revision\b.*?[\"'](\w+)[\"']", text, re.MULTILINE))
            for line in re.findall(r"^down_revision\b.*", text, re.MULTILINE):
                replaced.update(re.findall(r"[\"'](\w+)[\"']", line))
    newest = known - replaced
    return known, newest.pop() if len(newest) == 1 else None
