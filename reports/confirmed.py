"""Settings measured on test queries: means and bands over seeds and queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
    # AP per query (S, Q) of "clean", every attack and "worst"; empty where trials kept none.
    queries: dict[str, NDArray[np.float64]]
    taken: dict[str, int]  # how many queries each of these took; a black box takes fewer

    @property
    def reliability(self) -> str:
        """What the gates of the battery said of the setting's trials."""
        if self.trials["unreliable"].ne("").any():
            reasons = dict.fromkeys(text for text in self.trials["unreliable"] if text)
            return f"unreliable: {' '.join(reasons)}"
        checked = self.trials.get("metric.test/gates_failed")
        if checked is None or checked.isna().any():
            return "not checked"
        return "all gates passed"

    @property
    def label(self) -> str:
        """Role and code length, unique within the search."""
        return f"{self.role_label}, {bits_label(self.bits)}"

    def band(self, attack: str) -> Interval:
        """MAP under ``clean``, an attack or ``worst``, with its interval over seeds and queries.

        Without AP per query only the mean is known; of an attack that was not run nothing is.
        """
        if attack in self.queries:
            return seed_query_interval(self.queries[attack])
        metric = {"clean": "clean_map", "worst": "robust_map"}.get(attack, f"map.{attack}")
        values = self.trials.get(f"metric.test/{metric}")
        return Interval(np.nan if values is None else float(values.mean()), np.nan, np.nan)

    @cached_property
    def bands(self) -> dict[str, Interval]:
        """Of clean and robust MAP."""
        return {metric: self.band(attack) for metric, attack in _ATTACK_OF.items()}

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
    compared = results.experiment.get("compare") or {}
    searched = [*results.space, *(key for point in compared.values() for key in point)]
    others = [key for key in dict.fromkeys(searched) if f"param.{key}" != BITS]
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
                role_label=f"{ROLES.get(role, role)}{ordinal}{_doubt(trials)}",
                setting=describe_setting(trials.iloc[0].to_dict(), others),
                trials=trials,
                **_kept(results, trials),
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


def _doubt(trials: pd.DataFrame) -> str:
    """Stands in every label of a setting of which any trial failed a reliability gate."""
    return " [unreliable]" if (trials["unreliable"] != "").any() else ""


def _kept(results: SearchResults, trials: pd.DataFrame) -> dict[str, Any]:
    """``queries`` and ``taken``, from what all of the trials kept."""
    tables = [results.per_query(str(trial)) for trial in trials["trial_id"]]
    kept = [
        {str(attack): group.groupby("query")["ap"].min().sort_index()
         for attack, group in table.groupby("attack")}
        for table in tables
        if table is not None
    ]  # fmt: skip
    if not kept or len(kept) < len(tables):
        return {"queries": {}, "taken": {}}
    common = sorted(set.intersection(*(set(found) for found in kept)))
    queries = {
        attack: np.stack([found[attack].to_numpy(np.float64) for found in kept])
        for attack in common
        # The interval resamples one set of queries for all seeds.
        if all(found[attack].index.equals(kept[0][attack].index) for found in kept)
    }
    taken = {attack: min(len(found[attack]) for found in kept) for attack in common}
    return {"queries": queries, "taken": taken}


def _rank(role: str) -> int:
    return _ORDER.index(role) if role in _ORDER else len(_ORDER)
