"""Decide how often a trial may lose its worker before it counts as failed."""

from harness.journal.state import TrialRecord
from saat.wording import counted

MAX_DEATHS = 4  # a trial that kills its worker again and again would do so for ever
MAX_NODES_LOST = 100  # losing spot machines is not the fault of a trial
_LOW_ON_MEMORY = "running low on memory"  # in the words of Ray's memory monitor


def why_given_up(record: TrialRecord, latest: str) -> str:
    """Why a trial is given up after it lost its worker; empty if it is started again.

    ``latest`` describes the latest loss, which ``record`` already counts.
    """
    if record.worker_deaths > MAX_DEATHS:
        lower = "; lower search.max_concurrent or batch_size" if _LOW_ON_MEMORY in latest else ""
        died = counted(record.worker_deaths, "time")
        return f"its worker process died {died}, the last time so: {latest}{lower}"
    if record.nodes_lost > MAX_NODES_LOST:
        return f"its node was lost {counted(record.nodes_lost, 'time')}, the last time so: {latest}"
    return ""
