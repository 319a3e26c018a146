"""Explore trials as points of clean and robust MAP on validation queries."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.frontier import pareto_mask
from reports.results import SearchResults

CLEAN = "metric.reattack/clean_map"
ROBUST = "metric.reattack/robust_map"
BITS = "param.model.bits"


def completed_trials(results: SearchResults) -> pd.DataFrame:
    """Explore trials that reached the end and were measured under the full protocol."""
    explore = results.explore
    measured = explore[CLEAN].notna() & explore[ROBUST].notna()
    return explore[(explore["status"] == "completed") & measured]


def stopped_trials(results: SearchResults) -> pd.DataFrame:
    """Explore trials that were stopped early and have at least one validation."""
    explore = results.explore
    measured = explore["metric.val/clean_map"].notna() & explore["metric.val/robust_map"].notna()
    return explore[(explore["status"] == "stopped") & measured]


def points_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """``(n, 2)`` clean and robust MAP, fractions."""
    return frame[[CLEAN, ROBUST]].to_numpy(dtype=np.float64)


def on_front(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """``(n,)`` whether no other trial of the frame is better in both objectives."""
    return pareto_mask(points_of(frame))


def bit_lengths(frame: pd.DataFrame) -> pd.Series:
    """Code length of every trial; -1 where the setting does not say."""
    if BITS not in frame:
        return pd.Series(-1, index=frame.index, dtype="int64")
    return pd.to_numeric(frame[BITS], errors="coerce").fillna(-1).astype("int64")


def bits_label(bits: int) -> str:
    """``32`` as ``32 bits``."""
    return f"{bits} bits" if bits >= 0 else "all trials"


def front_extremes(results: SearchResults) -> tuple[dict[Any, Any], dict[Any, Any]] | None:
    """The trials at the robust and at the clean end of the front over all bits, as rows."""
    completed = completed_trials(results)
    if not len(completed):
        return None
    front = completed[on_front(completed)]
    clean, robust = points_of(front).T
    ends = (int(np.argmax(robust)), int(np.argmax(clean)))
    return front.iloc[ends[0]].to_dict(), front.iloc[ends[1]].to_dict()
