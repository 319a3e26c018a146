"""Attributes of a study's trials, beside parameters and values, that samplers learn from."""

from collections.abc import Sequence

import optuna

# User attribute: a list of the objectives after every finished epoch; None where nothing was
# measured, and NaN in place of a single objective that was not.
EPOCHS = "epochs"
PLANNED_EPOCHS = "planned_epochs"  # user attribute: epochs of the whole training
DISCARDED = "discarded"  # user attribute of a failed trial that never ran
# System attribute of a start-up trial, which teaches the model; journals store this name.
PROBE = "probe"


def report_epoch(trial: optuna.Trial, values: Sequence[float] | None) -> None:
    """Store the objectives after one more epoch of a running trial; None if not measured.

    Optuna's own ``trial.report`` is for studies of one objective.
    """
    row = None if values is None else list(values)
    trial.set_user_attr(EPOCHS, [*trial.user_attrs.get(EPOCHS, []), row])
