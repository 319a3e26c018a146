"""Retry calls to a tracking server until it accepts, or refuses for good."""

import threading
from collections.abc import Callable

import tenacity

from saat.errors import InputError

# Another try will hardly change these answers; FINAL_TRIES are made.
GONE = "RESOURCE_DOES_NOT_EXIST"
FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", GONE, "BAD_REQUEST")
FINAL_TRIES = 5
_SCHEMA_ERROR = "out-of-date database schema"  # MLflow has no code for it
_RETRY_STATUSES = (408, 425, 429)  # the only 4xx that ask for another try


def retrying(
    closing: threading.Event, on_error: Callable[[BaseException], None]
) -> tenacity.Retrying:
    """Retries that end with :class:`tenacity.RetryError` when they give up.

    Setting ``closing`` ends them, also between two tries.
    """

    def give_up(state: tenacity.RetryCallState) -> bool:
        error = _error(state)
        final = is_refusal(error) and state.attempt_number >= FINAL_TRIES
        # A missing driver, or a schema of another version, does not mend itself.
        permanent = isinstance(error, ImportError) or _SCHEMA_ERROR in str(error)
        return closing.is_set() or final or permanent

    return tenacity.Retrying(
        wait=tenacity.wait_exponential(multiplier=0.5, max=30),
        stop=give_up,
        sleep=tenacity.sleep_using_event(closing),
        after=lambda state: on_error(_error(state)),
    )


def is_refusal(error: BaseException) -> bool:
    """Whether a server, or a store of artifacts, answered and refused, or a file is damaged.

    MLflow's errors have codes. A store of artifacts raises the errors of its client: requests,
    botocore, and the clients of Google and Azure each keep the HTTP status in a different
    attribute. A folder raises an ``OSError``.
    """
    if getattr(error, "error_code", "") in FINAL_ERRORS:
        return True
    status = _http_status(error)
    if status is not None:
        return 400 <= status < 500 and status not in _RETRY_STATUSES
    return isinstance(error, InputError | PermissionError | FileNotFoundError | NotADirectoryError)


def _http_status(error: BaseException) -> int | None:
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        answer = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    named = ((answer, "status_code"), (error, "status_code"), (error, "code"))
    found = (answer, *(getattr(of, name, None) for of, name in named))
    return next((status for status in found if isinstance(status, int)), None)


def _error(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None, "called only after a failure"
    return error
