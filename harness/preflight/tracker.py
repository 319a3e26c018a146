"""Checks from the driver that the tracker answers: no other process writes to it."""

import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from harness.redaction import public_uri, redacted
from harness.tracking.store import check_store, default_uri, sqlite_file
from saat.errors import InputError, one_line

TIMEOUT_S = 10  # for an answer


def ask_tracker(uri: str | None, runs_dir: Path) -> tuple[str, str]:
    """Ask the tracker: a line that says it answers, and what is wrong; one of them is empty."""
    uri = uri or default_uri(runs_dir)
    began = time.monotonic()
    try:
        kind = urlsplit(uri).scheme
        ask = _ask_sqlite if kind == "sqlite" else _ask_server if "http" in kind else _ask_database
        ask(uri)
    except Exception as error:  # MLflow's, a database driver's, the network's
        reason = one_line(redacted(_root(error)), 200)
        return "", f"tracker {public_uri(uri)}: {reason}"
    return f"tracker {public_uri(uri)}: answers ({time.monotonic() - began:.2f} s)", ""


def _root(error: BaseException) -> BaseException:
    """The error of the operating system that caused ``error``, if there is one."""
    if isinstance(error, InputError):  # its message says what to do
        return error
    root, below = error, error.__cause__ or error.__context__
    while below is not None:
        root = below if isinstance(below, OSError) else root
        below = below.__cause__ or below.__context__
    return root


def _ask_server(uri: str) -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(TIMEOUT_S)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def _ask_sqlite(uri: str) -> None:
    """Take the lock of a write; a file that does not exist is not created."""
    check_store(uri)
    path = sqlite_file(uri)
    if path is None or not path.exists():
        return
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", timeout=TIMEOUT_S, uri=True)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.rollback()
    finally:
        connection.close()


def _ask_database(uri: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(uri, connect_args={"connect_timeout": TIMEOUT_S})
    try:
        engine.connect().close()
    finally:
        engine.dispose()
