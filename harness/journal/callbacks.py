"""Callbacks that may fail without an effect on the search."""

import logging
from collections.abc import Callable
from typing import Any

from harness.redaction import redacted
from saat.errors import one_line

log = logging.getLogger(__name__)


def logging_exceptions(callback: Callable[..., Any]) -> Callable[..., None]:
    """Wrap ``callback``: its exceptions are logged, each message once, and not raised."""
    logged: set[str] = set()

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            message = f"{name}: {type(error).__name__}: {one_line(redacted(error), 200)}"
            if message not in logged:
                logged.add(message)
                log.warning("%s; the search goes on", message)

    return call
