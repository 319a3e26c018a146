"""How many trials trained how long, beside how many would have without early stopping."""

from typing import NamedTuple

import numpy as np

from reports.figures.chart import Axis, Bound, Chart, Line, Mark, Panel, Values
from reports.figures.style import NEUTRAL, PALETTE
from reports.results import SearchResults
from reports.stopping import planned_epochs, stop_labels

_SAVED = "without early stopping"


class TrialsByEpoch(NamedTuple):
    """Explore trials that have ended, by how long they trained."""

    epochs: Values  # (E,) 1, 2, …
    trained: Values  # (E,) trials that trained this epoch
    planned: Values  # (E,) trials whose setting has this epoch


def trials_by_epoch(results: SearchResults) -> TrialsByEpoch:
    """Count the completed and stopped explore trials that have each epoch; a failed one saved none.

    Both counts are equal but for stopped trials: their difference, summed over the epochs, is what
    early stopping saved.
    """
    ended = results.explore[results.explore["status"].isin(["completed", "stopped"])]
    trained = ended["epochs"].to_numpy(dtype=np.float64)
    planned = planned_epochs(results, ended)
    stopped = (ended["status"] == "stopped").to_numpy(dtype=bool)
    planned = np.where(stopped & ~np.isnan(planned), np.maximum(planned, trained), trained)
    epochs = np.arange(1, (planned.max(initial=0) or 0) + 1)
    counts = [(ends[:, None] >= epochs).sum(axis=0).astype(float) for ends in (trained, planned)]
    return TrialsByEpoch(epochs, *counts)


def early_stopping_chart(results: SearchResults) -> Chart:
    """Draw both counts as steps; the area between them is saved. Without a stop it is empty."""
    found = trials_by_epoch(results)
    if not (results.explore["status"] == "stopped").any() or not len(found.epochs):
        return Chart(())
    # An epoch is a step of its own: from its number less one half to its number and one half.
    x = np.append(found.epochs, found.epochs[-1] + 1) - 0.5
    trained, planned = (np.append(counts, counts[-1]) for counts in found[1:])
    hover = "%{y:.0f} trials<extra></extra>"
    marks: list[Mark] = [
        Bound(epoch + 0.5, NEUTRAL, label) for epoch, label in stop_labels(results).items()
    ]
    marks.append(Line(x, planned, NEUTRAL, _SAVED, dash="dash", step="after", hover=hover))
    marks.append(
        Line(x, trained, PALETTE[0], "trials trained", width=2.2, step="after", hover=hover)
    )
    y = Axis("explore trials", scale="whole", limits=(0, 1.08 * float(planned.max())))
    return Chart([Panel(marks, Axis("minimax epoch", scale="whole"), y)], height=3.4)
