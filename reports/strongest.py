"""Which attack was the strongest for how many test queries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedConfig
from reports.metric_columns import attacks_of
from reports.results import measured_names
from reports.tables import Table, identity
from saat.metrics import Phase

NONE, PARTIAL = "none lowers AP", "an attack on a part"


def strongest_shares(config: ConfirmedConfig) -> dict[str, float]:
    """Attack → share of all queries and seeds whose AP it lowers the most.

    The first of equally strong attacks counts. Attacks that took only a part of the queries or of
    the seeds count together, as `PARTIAL`; targeted attacks are left out. Nothing if no AP per
    query is stored.
    """
    clean, worst = config.queries.get("clean"), config.queries.get("worst")
    if clean is None or worst is None:
        return {}
    names = attacks_of(measured_names(config.trials, Phase.TEST), ["map"])
    whole = [n for n in names if n in config.queries and config.queries[n].shape == clean.shape]
    table = np.stack([clean, *(config.queries[name] for name in whole)])
    chosen = table.argmin(axis=0)  # the clean image wins a draw, then the first attack
    hidden = worst < table.min(axis=0) - 1e-9
    chosen[hidden] = len(table)  # an attack that has no row there
    names = [NONE, *whole, *([PARTIAL] if hidden.any() else [])]
    return {name: float((chosen == index).mean()) for index, name in enumerate(names)}


def strongest_table(configs: Sequence[ConfirmedConfig]) -> Table:
    """A row a setting, a column an attack; the shares of a row add up to 1."""
    having = [config for config in configs if strongest_shares(config)]
    shares = [strongest_shares(config) for config in having]
    names = dict.fromkeys(name for found in shares for name in found)
    columns: dict[str, list[Any]] = dict(identity(having))
    columns |= {name: [found.get(name, 0.0) for found in shares] for name in names}
    return Table(
        "strongest",
        "Share of test queries for which each attack is the strongest, over all seeds. An attack "
        "with a small share may still be needed: its queries are no other attack's",
        pd.DataFrame(columns),
        fractions=dict.fromkeys(names, "%"),
    )
