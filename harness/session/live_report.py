"""``saat report --live``: the report of a running search, served on 127.0.0.1 and kept up to date.

Every version of the report has a temporary folder of its own, so that a page is never read while
it is written. The folders go with the server.
"""

import json
import mimetypes
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from harness.journal.journal import read
from harness.session.ports import check_port
from harness.session.session import make_report

EVERY = 30.0  # seconds between two versions, at least
_POLL = 1.0  # seconds between two looks at the journal
GOODBYE = 8.0  # seconds in which open pages take the last version; they ask every 3
_SERVED = {"figures", "tables", "frontier.csv"}  # beside the page


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
                if server is None:
                    server = _Server(port, made)
                    print(f"live report: http://127.0.0.1:{port}/ (Ctrl-C ends it)", flush=True)
                server.show(made, version, ended)
                shutil.rmtree(Path(folder) / str(version - 2), ignore_errors=True)
                time.sleep(GOODBYE if ended and version > 1 else 0 if ended else every)
        finally:
            if server is not None:
                server.end()
    print(f"{run_dir.name}: the search has ended; report: {run_dir / 'report' / 'report.html'}")


class _Server:
    """Serves the latest version of a report from a thread of its own."""

    def __init__(self, port: int, folder: Path) -> None:
        self.folder, self.version, self.ended = folder, 0, False
        script = resources.files("reports") / "templates" / "live.js"
        self.script = script.read_text(encoding="utf-8")
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler_of(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def show(self, folder: Path, version: int, ended: bool) -> None:
        self.folder, self.version, self.ended = folder, version, ended

    def end(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Type and content of what a path of the address names; None if there is no such thing."""
        if path == "/live.json":
            state = {"version": self.version, "ended": self.ended}
            return "application/json", json.dumps(state).encode()
        folder, version = self.folder, self.version
        if path in ("/", "/report.html"):
            page = (folder / "report.html").read_text(encoding="utf-8")
            script = f'<script data-version="{version}">{self.script}</script></body>'
            return "text/html; charset=utf-8", page.replace("</body>", script).encode()
        parts = PurePosixPath(path).parts[1:]
        if not parts or parts[0] not in _SERVED or ".." in parts:
            return None
        file = folder.joinpath(*parts)
        if not file.is_file():
            return None
        return mimetypes.guess_type(file.name)[0] or "text/plain; charset=utf-8", file.read_bytes()


def _handler_of(server: _Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Another site's name that leads to this address must not read the report.
            if self.headers.get("Host") not in server.hosts:
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            found = server.answer(unquote(urlsplit(self.path).path))
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            kind, content = found
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of requests."""

    return Handler
