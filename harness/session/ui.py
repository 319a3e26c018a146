"""``saat ui``: the MLflow UI over the embedded store, on 127.0.0.1 only."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from harness.session.ports import check_port
from harness.tracking.saved_views import LANDING, has_view, runs_page
from harness.tracking.store import check_store, default_uri
from saat.errors import InputError, did_you_mean


def serve(runs_dir: Path, name: str | None, port: int) -> None:
    """Serve until interrupted."""
    if not (runs_dir / "mlflow.db").is_file():
        raise InputError(f"{runs_dir / 'mlflow.db'}: no such file; run a search first")
    uri = default_uri(runs_dir)
    check_store(uri)
    check_port(port)
    address = f"http://127.0.0.1:{port}"
    if name is not None:
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        found = client.get_experiment_by_name(name)
        if found is None:
            known = [one.name for one in client.search_experiments()]
            hint = did_you_mean(name, known)
            raise InputError(f"{name}: no such search in {runs_dir / 'mlflow.db'}{hint}")
        view = LANDING if has_view(found.tags, LANDING) else ""  # absent in earlier versions' runs
        address += f"/{runs_page(found.experiment_id, view)}"
    print(f"MLflow UI: {address} (Ctrl-C ends it)", flush=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**os.environ, **quiet}
    # A group of its own, because the server starts workers that have to end with it.
    server = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
    try:
        status = server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
    raise InputError(f"--port {port}: the MLflow server ended by itself with status {status}")
