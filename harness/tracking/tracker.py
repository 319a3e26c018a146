"""Delivers the journal's events to MLflow: one parent run a search, one child run a trial.

A daemon thread delivers the events in order, each until it is accepted. So a tracking server that
is slow or down delays nothing and loses nothing. A cursor beside the journal remembers what was
delivered. A server that was wiped gets all events again.
"""

import logging
import os
import queue
import threading
import time
from traceback import format_exception
from typing import Any

import tenacity

from harness.journal.journal import Event
from harness.journal.state import SearchState
from harness.redaction import public_uri, redacted
from harness.tracking.delivery_cursor import DeliveryCursor, read_delivery_cursor
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.retries import retrying
from saat.errors import one_line
from saat.wording import counted

log = logging.getLogger(__name__)


class Tracker:
    """Delivers events to MLflow."""

    def __init__(self, runs: MlflowRuns) -> None:
        # The retries are ours, so MLflow must report a failed connection at once.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # MLflow would write two lines to standard output for every trial that ends.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._runs, self._server = runs, public_uri(runs.uri)
        self._cursor_path = runs.run_dir / "tracked.json"
        self._cursor = read_delivery_cursor(self._cursor_path, self._server)
        self._last_seq = -1
        self._state = SearchState()
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._received: list[Event] = []  # taken from the queue
        self._closing = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self, events: list[Event]) -> None:
        """Begin with the journal's events so far; events delivered before are not sent again."""
        for event in events:
            self.handle(event)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Queue an event; returns at once."""
        self._last_seq = event["seq"]
        self._queue.put(event)

    def catch_up(self, timeout: float) -> None:
        """Wait until everything so far is delivered, or a server fails, ``timeout`` s at most."""
        end = time.monotonic() + timeout
        while self._cursor.count_pending(self._last_seq) and self._thread.is_alive():
            if self._last_error or time.monotonic() > end:
                return
            time.sleep(0.05)

    def close(self, timeout: float = 60.0, patient: bool = False) -> str:
        """Wait until everything is delivered, ``timeout`` seconds at most.

        A ``patient`` close waits again for as long as the server accepted something meanwhile.

        Returns:
            An empty string, or one line on what the tracking server did not receive.
        """
        self._queue.put(None)
        before, pending = -1, self._cursor.count_pending(self._last_seq)
        while pending != before:
            self._thread.join(timeout)
            before, pending = pending, self._cursor.count_pending(self._last_seq)
            if not patient or not self._thread.is_alive():
                break
        self._closing.set()
        if not pending:
            return ""
        missing = counted(pending, "event")
        reason = self._last_error or f"not within {timeout:g} s"
        return f"tracking server {self._server} did not accept {missing} ({reason})"

    def _work(self) -> None:
        try:
            self._connect()
            position = 0
            while (event := self._event(position)) is not None and not self._closing.is_set():
                self._state.apply(event)
                position += 1
                if not self._cursor.is_pending(event["seq"]) or self._deliver(event):
                    continue
                if self._retry(self._runs.is_wiped):
                    log.warning("tracking server %s was wiped", self._server)
                    self._state, position = SearchState(), 0
                    self._connect()
        except tenacity.RetryError:  # the tracker is closing
            return
        except Exception as error:  # close() says how many events are pending, and why
            self._last_error = one_line(redacted(error), 200)
            log.error("tracking ended: %s", redacted("".join(format_exception(error))))

    def _connect(self) -> None:
        parent = self._retry(self._runs.connect)
        if self._cursor.run != parent:  # the server was wiped, or is another one
            self._cursor = DeliveryCursor(uri=self._server, run=parent)

    def _event(self, position: int) -> Event | None:
        """Wait for the event at a position of the journal; None at the end."""
        if position == len(self._received):
            event = self._queue.get()
            if event is None:
                return None
            self._received.append(event)
        return self._received[position]

    def _deliver(self, event: Event) -> bool:
        """Deliver an event; False if the server refuses it for good, which ends nothing else."""
        accepted = True
        try:
            self._retry(self._runs.deliver, event, self._state)
        except tenacity.RetryError:
            if self._closing.is_set():
                raise
            accepted = False
        self._cursor.record(event["seq"], accepted)
        self._cursor.save(self._cursor_path)
        return accepted

    def _retry(self, *call: Any) -> Any:
        """Call until the server accepts; see :func:`harness.tracking.retries.retrying`."""
        return retrying(self._closing, self._log_error)(*call)

    def _log_error(self, error: BaseException) -> None:
        message = one_line(redacted(error), 200)
        if message != self._last_error:
            log.warning("tracking server %s: %s", self._server, message)
        self._last_error = message
