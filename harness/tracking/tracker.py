"""MLflow: one parent run a search, one child a trial, fed from the journal.

A daemon thread delivers the journal's events in order, each until it is accepted, so a tracking
server that is slow or down delays nothing and loses nothing. A cursor beside the journal
remembers what was delivered; runs are found again by tags of our own, so a resumed search
continues the runs of the interrupted one. A server that has forgotten the search, which was wiped,
is told everything once more.
"""

import logging
import os
import queue
import threading
from traceback import format_exception
from typing import Any

import tenacity

from harness.journal.journal import Event
from harness.journal.state import SearchState
from harness.redaction import public_uri, redacted
from harness.tracking.cursor import Cursor, read_cursor
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.retries import retrying
from saat.errors import one_line
from saat.wording import counted

log = logging.getLogger(__name__)


class Tracker:
    """Delivers events to MLflow.

    Args:
        runs: what it writes to.
    """

    def __init__(self, runs: MlflowRuns) -> None:
        # A refused connection must come back at once; the retries are ours.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # Standard output is ours; MLflow would write two lines there for every trial that ends.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        for noisy in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._runs, self._server = runs, public_uri(runs.uri)
        self._cursor_path = runs.run_dir / "tracked.json"
        self._cursor = read_cursor(self._cursor_path, self._server)
        self._last_seq = -1
        self._known = SearchState()
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._past: list[Event] = []  # taken from the queue
        self._closing = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self, events: list[Event]) -> None:
        """Begin with the journal's events so far; those delivered before are only remembered."""
        for event in events:
            self.handle(event)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Queue an event; returns at once."""
        self._last_seq = event["seq"]
        self._queue.put(event)

    def close(self, timeout: float = 60.0, patient: bool = False) -> str:
        """Wait until everything is delivered, ``timeout`` seconds at most.

        Args:
            timeout: seconds.
            patient: count them anew for as long as the server accepts something within them.

        Returns:
            An empty string, or one line on what the tracking server did not receive.
        """
        self._queue.put(None)
        gets_on = True
        while gets_on:
            before = self._missing()
            self._thread.join(timeout)
            missing = self._missing()
            gets_on = patient and self._thread.is_alive() and missing != before
        self._closing.set()
        if not missing:
            return ""
        reason = self._last_error or f"not within {timeout:g} s"
        return (
            f"tracking server {self._server} did not accept {counted(missing, 'event')} ({reason})"
        )

    def _missing(self) -> int:
        return self._cursor.missing(self._last_seq)

    def _work(self) -> None:
        try:
            self._connect()
            position = 0
            while (event := self._event(position)) is not None and not self._closing.is_set():
                self._known.apply(event)
                position += 1
                told = not self._cursor.lacks(event["seq"]) or self._deliver_until_accepted(event)
                if not told and self._insist(self._runs.is_wiped):
                    log.warning("tracking server %s was wiped", self._server)
                    self._known, position = SearchState(), 0
                    self._connect()
        except tenacity.RetryError:  # closing
            return
        except Exception as error:  # close() tells that events are missing, and why
            self._last_error = one_line(redacted(error), 200)
            log.error("tracking ended: %s", redacted("".join(format_exception(error))))

    def _connect(self) -> None:
        parent = self._insist(self._runs.connect)
        if self._cursor.run != parent:  # the server was wiped, or is another one
            self._cursor = Cursor(parent)

    def _event(self, position: int) -> Event | None:
        """An event by its place in the journal, waited for; None at the end."""
        if position == len(self._past):
            event = self._queue.get()
            if event is None:
                return None
            self._past.append(event)
        return self._past[position]

    def _deliver_until_accepted(self, event: Event) -> bool:
        """Whether it was; a server that refuses it for good must not hold up the rest."""
        accepted = True
        try:
            self._insist(self._runs.deliver, event, self._known)
        except tenacity.RetryError:
            if self._closing.is_set():
                raise
            accepted = False
        self._cursor.move(event["seq"], accepted)
        self._cursor.save(self._cursor_path, self._server)
        return accepted

    def _insist(self, *call: Any) -> Any:
        """Call until the server accepts.

        Raises:
            tenacity.RetryError: it refuses for good, or the tracker is closing.
        """
        return retrying(self._closing, self._note)(*call)

    def _note(self, error: BaseException) -> None:
        message = one_line(redacted(error), 200)
        if message != self._last_error:
            log.warning("tracking server %s: %s", self._server, message)
        self._last_error = message
