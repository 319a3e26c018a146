"""Trying until a tracking server accepts, or refuses for good."""

import threading
from collections.abc import Callable

import tenacity

# Answers that another try will not change; a few are made all the same.
GONE = "RESOURCE_DOES_NOT_EXIST"
FINAL_ERRORS = ("INVALID_PARAMETER_VALUE", GONE, "BAD_REQUEST")
FINAL_TRIES = 5


def retrying(closing: threading.Event, note: Callable[[BaseException], None]) -> tenacity.Retrying:
    """A policy that raises :class:`tenacity.RetryError` when it gives up.

    Args:
        closing: gives up once it is set, also while it waits between two tries.
        note: told every error.
    """

    def give_up(state: tenacity.RetryCallState) -> bool:
        error = _error(state)
        final = getattr(error, "error_code", "") in FINAL_ERRORS
        final = final and state.attempt_number >= FINAL_TRIES
        # A data base's driver that is not installed will not be at the next try either.
        return closing.is_set() or final or isinstance(error, ImportError)

    return tenacity.Retrying(
        wait=tenacity.wait_exponential(multiplier=0.5, max=30),
        stop=give_up,
        sleep=tenacity.sleep_using_event(closing),
        after=lambda state: note(_error(state)),
    )


def _error(state: tenacity.RetryCallState) -> BaseException:
    assert state.outcome is not None, "asked only after a try"
    error = state.outcome.exception()
    assert error is not None, "asked only after a failure"
    return error
