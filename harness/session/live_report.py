"""``saat report --live``: the report of a running search, served on 127.0.0.1 and kept up to date.

Every version of the report has a temporary folder of its own, so that a page is never read while
it is written. The folders go with the server.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from harness.journal.journal import read
from harness.session.ports import check_port
from harness.session.session import make_report

EVERY = 30.0  # seconds between two versions, at least
_POLL = 1.0  # seconds between two looks at the journal
GOODBYE = 8.0  # seconds in which open pages take the last version; they ask every 3


def serve_live(
    run_dir: Path, port: int, say: Callable[[str], None], by: str = "", every: float = EVERY
) -> None:
    """Serve the report of a run until its search has written the final one, or until interrupted.

    The report is made anew when the journal has grown, at most once in ``every`` seconds.

    Raises:
        InputError: the port is taken, or the run is damaged.
    """
    check_port(port)
    journal = run_dir / "events.jsonl"
    with tempfile.TemporaryDirectory(prefix="saat-live-") as folder:
        version, seen, ended = 0, -1, False
        server: _Server | None = None
        try:
            while not ended:
                size = journal.stat().st_size if journal.exists() else 0
                if size == seen:
                    time.sleep(_POLL)
                    continue
                # Read first: what is journaled meanwhile is in the next version.
                ended = any(event["event"] == "reported" for event in read(journal))
                version, seen = version + 1, size
                made = Path(folder) / str(version)
                # Files for print would take time from the search.
                make_report([run_dir], made, say, by, "none")
                _follow(made, version, ended)
                if server is None:
                    server = _Server(port, made)
                    print(f"live report: http://127.0.0.1:{port}/ (Ctrl-C ends it)", flush=True)
                server.folder = made
                shutil.rmtree(Path(folder) / str(version - 2), ignore_errors=True)
                time.sleep(GOODBYE if ended and version > 1 else 0 if ended else every)
        finally:
            if server is not None:
                server.shutdown()
                server.server_close()
    print(f"{run_dir.name}: the search has ended; report: {run_dir / 'report' / 'report.html'}")


def _follow(folder: Path, version: int, ended: bool) -> None:
    """Make of a report a page that looks for the next version by itself, and what it looks at."""
    script = (resources.files("reports") / "templates" / "live.js").read_text("utf-8")
    live = f'<script data-version="{version}">{script}</script></body>'
    page = (folder / "report.html").read_text("utf-8").replace("</body>", live)
    (folder / "index.html").write_text(page, "utf-8")
    (folder / "live.json").write_text(json.dumps({"version": version, "ended": ended}))


class _Server(ThreadingHTTPServer):
    """Serves the files of a folder, that of the latest version, from threads of its own."""

    daemon_threads = True

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder = folder
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(SimpleHTTPRequestHandler):
    """Answers with the files that its server has now, for pages of this machine alone."""

    def __init__(self, request: Any, client: Any, server: _Server) -> None:
        self._hosts = server.hosts
        super().__init__(request, client, server, directory=str(server.folder))

    def send_head(self) -> BytesIO | BinaryIO | None:
        # Another site's name that leads to this address must not read the report.
        if self.headers.get("Host") in self._hosts:
            return super().send_head()
        self.send_error(HTTPStatus.FORBIDDEN)
        return None

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""
