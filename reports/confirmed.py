"""Settings measured on test queries: means and bands over seeds and queries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.explored import BITS, bit_lengths, bits_label
from reports.results import SearchResults
from reports.statistics import (
    Interval,
    PairedComparison,
    SeedSummary,
    compare_paired,
    seed_query_interval,
    seed_summary,
)
from reports.wording import ROLES, describe_setting

METRICS = {"clean": "metric.test/clean_map", "robust": "metric.test/robust_map"}
_ATTACK_OF = {"clean": "clean", "robust": "worst"}
_ORDER = ("recommended", "default", "train", "undefended")


@dataclass(frozen=True)
class ConfirmedSetting:
    """One setting on test queries, trained once a seed."""

    search: str
    role: str
    bits: int
    config_hash: str
    role_label: str  # role in words, with a letter where several settings share role and bits
    setting: str  # the searched parameters but the code length, in words
    trials: pd.DataFrame  # one completed trial a seed, in the order of seeds
    bands: dict[str, Interval]  # of "clean" and "robust" MAP over seeds and queries

    @property
    def label(self) -> str:
        """Role and code length, unique within the search."""
        return f"{self.role_label}, {bits_label(self.bits)}"

    def seeds(self, metric: str) -> NDArray[np.float64]:
        """``(S,)`` clean or robust MAP, one a seed."""
        return self.trials[METRICS[metric]].to_numpy(dtype=np.float64)

    def summary(self, metric: str) -> SeedSummary:
        """Mean and spread of clean or robust MAP over seeds."""
        return seed_summary(self.seeds(metric))


@dataclass(frozen=True)
class Gain:
    """The pre-declared comparison: a recommended setting and the default of the same bits."""

    recommended: ConfirmedSetting
    default: ConfirmedSetting
    metric: str
    comparison: PairedComparison
    recommended_mean: float  # over the seeds that both were trained with
    default_mean: float


def confirmed_settings(results: SearchResults) -> list[ConfirmedSetting]:
    """Completed confirm and train trials, grouped by setting; recommended ones first."""
    tested = results.tested
    measured = tested[list(METRICS.values())].notna().all(axis=1)
    frame = tested[(tested["status"] == "completed") & measured]
    frame = frame.assign(bits=bit_lengths(frame)).sort_values("seed", kind="stable")
    groups = sorted(
        (
            (str(trials["role"].iloc[0]), int(trials["bits"].iloc[0]), str(digest), trials)
            for (_, _, digest), trials in frame.groupby(["role", "bits", "config_hash"], sort=False)
        ),
        key=lambda group: (
            _rank(group[0]),
            group[1],
            -group[3][METRICS["robust"]].mean(),
            group[2],
        ),
    )
    others = [key for key in results.space if f"param.{key}" != BITS]
    settings: list[ConfirmedSetting] = []
    for role, bits, digest, trials in groups:
        peers = [group[2] for group in groups if group[:2] == (role, bits)]
        ordinal = f" {chr(ord('A') + peers.index(digest) % 26)}" if len(peers) > 1 else ""
        settings.append(
            ConfirmedSetting(
                search=results.name,
                role=role,
                bits=bits,
                config_hash=digest,
                role_label=f"{ROLES.get(role, role)}{ordinal}",
                setting=describe_setting(trials.iloc[0].to_dict(), others),
                trials=trials,
                bands={metric: _band(results, trials, metric) for metric in METRICS},
            )
        )
    return settings


def gains_over_default(settings: Sequence[ConfirmedSetting]) -> list[Gain]:
    """Compare every recommended setting with the default of its bits over their common seeds."""
    pairs = [
        (setting, default)
        for setting in settings
        for default in settings
        if (setting.role, default.role) == ("recommended", "default")
        and (setting.search, setting.bits) == (default.search, default.bits)
    ]
    return [
        _compare(setting, default, metric, 2 * len(pairs))
        for setting, default in pairs
        for metric in ("robust", "clean")
    ]


def _compare(a: ConfirmedSetting, b: ConfirmedSetting, metric: str, comparisons: int) -> Gain:
    columns = ["seed", METRICS[metric]]
    both = a.trials[columns].merge(b.trials[columns], on="seed", suffixes=("_a", "_b"))
    first, second = (both[f"{METRICS[metric]}_{side}"].to_numpy(np.float64) for side in "ab")
    comparison = compare_paired(first, second, comparisons=comparisons)
    return Gain(a, b, metric, comparison, seed_summary(first).mean, seed_summary(second).mean)


def _band(results: SearchResults, trials: pd.DataFrame, metric: str) -> Interval:
    """Interval over seeds and queries; without AP per query only the mean is known."""
    rows = [_query_ap(results, str(trial), _ATTACK_OF[metric]) for trial in trials["trial_id"]]
    if any(row is None for row in rows) or len({len(row) for row in rows if row is not None}) != 1:
        return Interval(float(trials[METRICS[metric]].mean()), np.nan, np.nan)
    return seed_query_interval(np.stack([row for row in rows if row is not None]))


def _query_ap(results: SearchResults, trial_id: str, attack: str) -> NDArray[np.float64] | None:
    table = results.per_query(trial_id)
    if table is None:
        return None
    ap = table[table["attack"] == attack].groupby("query")["ap"].min()
    return ap.sort_index().to_numpy(dtype=np.float64) if len(ap) else None


def _rank(role: str) -> int:
    return _ORDER.index(role) if role in _ORDER else len(_ORDER)
