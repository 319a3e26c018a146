"""What Ray's errors mean, in one line."""

import re

from harness.redaction import redacted
from saat.errors import one_line


def last_line(error: object) -> str:
    """The error itself, which is the last line of the traceback in Ray's message."""
    lines = str(error).strip().splitlines()
    return one_line(redacted(lines[-1] if lines else type(error).__name__), 160)


def why_worker_lost(message: str) -> tuple[str, bool]:
    """Why a worker was lost, and whether its node was lost with it.

    The answer is only in Ray's words. Tune gives an exception neither to its scheduler nor to its
    searcher; it writes the message and a pickle to files, and an ``ActorDiedError`` comes out of a
    pickle without its fields, because its constructor takes a cause that the pickle lacks.

    Args:
        message: of Ray's exception, as Tune wrote it down.
    """
    address = re.search(r"^\s*ip: (\S+)$", message, flags=re.MULTILINE)
    where = f" {address[1]}" if address else ""
    if "its node has died" in message:
        how = "was pre-empted" if "node was preempted" in message else "was lost"
        return f"node{where} {how}", True
    if "is unavailable:" in message:  # a killed node, before Ray knows that it was killed
        return f"node{where} does not answer", True
    detail = re.search("Worker exit detail: (.*)", message)
    if detail is None and re.search(r'^\s*File ".*", line \d', message, flags=re.MULTILINE):
        return last_line(message), False  # a traceback, of a missing module for example
    return one_line(redacted(detail[1] if detail else message), 200) or "no reason known", False
