"""What stopping trials early saved, by the reason that each trial was stopped for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.results import SearchResults
from reports.tables import Table
from reports.wording import is_probe
from saat.wording import counted


def stop_labels(results: SearchResults) -> Mapping[int, str]:
    """The epochs at which explore trials were stopped, in order, and what stopped them there."""
    stopped = _stopped(results)
    labels = {
        frozenset({False}): "rung: trials that are behind stop",
        frozenset({True}): "end of probes",
        frozenset({False, True}): "rung, and end of probes",
    }
    kinds = {
        epoch: frozenset(map(is_probe, stopped["stop_reason"][stopped["epochs"] == epoch]))
        for epoch in sorted(set(stopped["epochs"]))
    }
    return {int(epoch): labels[kind] for epoch, kind in kinds.items()}


def planned_epochs(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Minimax epochs that trials would have had, ``(n,)``; NaN where the setting does not say."""
    fixed = results.section("defense").get("epochs", np.nan)
    own = frame.get("param.defense.epochs", pd.Series(np.nan, frame.index))
    return np.asarray(pd.to_numeric(own, errors="coerce").astype("float64").fillna(fixed))


def _stopped(results: SearchResults) -> pd.DataFrame:
    """Explore trials that were stopped, and the epochs that each was ``spared``."""
    stopped = results.explore[results.explore["status"] == "stopped"]
    planned = planned_epochs(results, stopped)
    return stopped.assign(spared=planned - stopped["epochs"].to_numpy(dtype=np.float64))


def stopping_table(results: SearchResults) -> Table:
    """A row a reason: how many explore trials ended so, and the epochs that they were spared.

    The time saved is those epochs by the mean seconds of an epoch of the same trials. A re-attack,
    which stopped trials are spared too, is not in it.
    """
    stopped = _stopped(results)
    seconds = results.epochs.groupby("trial_id")["seconds"].mean()
    each = stopped["trial_id"].map(seconds).astype("float64")  # text where nothing was stopped
    frame = stopped.assign(saved=stopped["spared"] * each)
    rows: list[dict[str, Any]] = [
        {
            "stopped because": str(reason) or "not said",
            "trials": len(group),
            "epochs trained": int(group["epochs"].sum()),
            "epochs saved": float(group["spared"].sum(skipna=False)),
            "time saved (s)": float(group["saved"].sum(skipna=False)),
        }
        for reason, group in frame.groupby("stop_reason")
    ]
    rows.sort(key=lambda row: -row["trials"])
    caption = f"Early stopping: {saved_sentence(results)}"
    return Table("stopping", caption, pd.DataFrame(rows))


def saved_sentence(results: SearchResults) -> str:
    """How many explore trials ended early, and the share of the planned epochs that it saved."""
    explore, stopped = results.explore, _stopped(results)
    whole = float(planned_epochs(results, explore).sum())
    saved = float(stopped["spared"].sum(skipna=False))
    text = f"{len(stopped)} of {counted(len(explore), 'explore trial')} ended early"
    if not whole or np.isnan(whole) or np.isnan(saved):
        return text
    return f"{text}, which saved {100 * saved / whole:.0f} % of all epochs that were planned"
