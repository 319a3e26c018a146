"""Trying until a tracking server accepts, or refuses for good."""

import threading
from collections.abc import Callable

import tenacity

# Answers that another try will not change; a few are made all the same.
GONE = "RESOURCE_DOES_NOT_EXIST"
FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", GONE, "BAD_REQUEST")
FINAL_TRIES = 5
_OTHER_TABLES = "out-of-date database schema"  # MLflow has no code for it
_LATER = (408, 425, 429)  # statuses of the client's own fault that ask for another try


def retrying(closing: threading.Event, note: Callable[[BaseException], None]) -> tenacity.Retrying:
    """A policy that raises :class:`tenacity.RetryError` when it gives up.

    Args:
        closing: gives up once it is set, also while it waits between two tries.
        note: told every error.
    """

    def give_up(state: tenacity.RetryCallState) -> bool:
        error = _error(state)
        final = is_refusal(error) and state.attempt_number >= FINAL_TRIES
        # Neither comes with time: a data base's driver, and tables of another version.
        lasting = isinstance(error, ImportError) or _OTHER_TABLES in str(error)
        return closing.is_set() or final or lasting

    return tenacity.Retrying(
        wait=tenacity.wait_exponential(multiplier=0.5, max=30),
        stop=give_up,
        sleep=tenacity.sleep_using_event(closing),
        after=lambda state: note(_error(state)),
    )


def is_refusal(error: BaseException) -> bool:
    """Whether a server or a store of artifacts was reached and does not want what it was given.

    MLflow has codes for it; stores raise their clients' errors, with an HTTP status (requests,
    botocore, Google's and Azure's clients each in a place of their own), or a folder's.
    """
    if getattr(error, "error_code", "") in FINAL_ERRORS:
        return True
    status = _http_status(error)
    if status is not None:
        return 400 <= status < 500 and status not in _LATER
    return isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError)


def _http_status(error: BaseException) -> int | None:
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        answer = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    found = (
        answer,
        *(getattr(of, "status_code", None) for of in (answer, error)),
        getattr(error, "code", None),
    )
    return next((int(status) for status in found if isinstance(status, int)), None)


def _error(state: tenacity.RetryCallState) -> BaseException:
    assert state.outcome is not None, "asked only after a try"
    error = state.outcome.exception()
    assert error is not None, "asked only after a failure"
    return error
