"""Settings measured on test queries, with means and intervals over seeds and queries."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.explored import BITS, bit_lengths, bits_label
from reports.front_groups import value_label
from reports.metric_columns import SCORES
from reports.results import SearchResults, final_metrics_of, metric_column
from reports.statistics import (
    PairedComparison,
    SeedSummary,
    compare_paired,
    seed_query_interval,
    seed_summary,
)
from reports.wording import ROLES, describe_setting, letter_at
from saat.bootstrap import Interval
from saat.metrics import OBJECTIVES, Phase
from saat.sanity import at_chance, has_dead_gradients, zero_gradients

# Objective → name of the AP per query that it is the mean of.
_ATTACK_OF = dict(zip(OBJECTIVES, ("clean", "worst"), strict=True))
_TESTED = [metric_column(Phase.TEST, name) for name in OBJECTIVES]
GATES_FAILED, _COLLAPSED = "gates failed", "clean MAP not above chance"
_ORDER = {"recommended": 0, "default": 1, "train": 2, "undefended": 3}


@dataclass(frozen=True)
class ConfirmedConfig:
    """One setting on test queries, trained once a seed."""

    search: str
    role: str
    bits: int
    config_hash: str
    stratum: str  # value of the key of search.each, in words; empty without one
    setting: str  # the searched parameters but the code length, in words
    trials: pd.DataFrame  # one completed trial a seed, in the order of seeds
    # AP per query (S, Q) of "clean", every attack and "worst", a row for every seed that stored
    # them; empty if the trials stored none.
    queries: dict[str, NDArray[np.float64]]
    query_counts: dict[str, int]  # queries of each of these; a black-box attack has fewer
    further_objectives: tuple[str, ...]  # of the search, beside clean and robust MAP
    # Of a recommended setting: A is chosen first. Of others where several share role, bits and
    # stratum.
    letter: str = ""
    address: str = ""  # of its runs in the MLflow UI, where a server tracked them

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """Metrics on test queries by their plain names, one mapping a seed."""
        return final_metrics_of(self.trials)

    @property
    def at_chance(self) -> dict[str, int]:
        """``clean`` and ``robust`` → number of seeds under which that MAP is not above chance."""
        return dict(Counter(name for found in self.metrics for name in at_chance(found)))

    @property
    def collapsed(self) -> bool:
        """Whether some seed has a clean MAP that is not above chance, so that means say nothing."""
        return "clean" in self.at_chance

    @property
    def dead_gradients(self) -> list[float]:
        """Fraction of exactly zero input gradients under each seed with too many of them."""
        dead = [found for found in self.metrics if has_dead_gradients(found)]
        return [zero_gradients(found, stand_ins=False) for found in dead]

    @property
    def reliability(self) -> str:
        """In words: which gates failed, which MAPs are at chance, which gradients are zero."""
        chance = [
            f"{name} MAP not above chance{self.under(n)}" for name, n in self.at_chance.items()
        ]
        dead = self.dead_gradients
        shown = ", ".join(f"{100 * share:.0f} %" for share in dead)
        blind = f"dead gradients{self.under(len(dead))} ({shown} exactly zero)" if dead else ""
        return "; ".join(filter(None, [self.gates, *chance, blind]))

    def under(self, seeds: int) -> str:
        """The text `` under 2 of 3 seeds``; empty if it is all seeds."""
        return "" if seeds == len(self.trials) else f" under {seeds} of {len(self.trials)} seeds"

    @property
    def gates(self) -> str:
        """The results of the battery's gates on the setting's trials, in words."""
        reasons = [text for text in dict.fromkeys(self.trials["unreliable"]) if text]
        if reasons:
            return f"unreliable: {' '.join(reasons)}"
        checked = not np.isnan(self.seeds("gates_failed")).any()
        return "all gates passed" if checked else "not checked"

    @cached_property
    def doubts(self) -> list[str]:
        """Why the numbers cannot be taken as they are."""
        doubts = {
            GATES_FAILED: self.gates.startswith("unreliable"),
            _COLLAPSED: self.collapsed,
            "robust MAP not above chance": set(self.at_chance) == {"robust"},
            "dead gradients": bool(self.dead_gradients),
        }
        return [doubt for doubt, holds in doubts.items() if holds]

    @cached_property
    def role_label(self) -> str:
        """Role in words, stratum, letter, and the doubts about the numbers."""
        short = {GATES_FAILED: "unreliable", _COLLAPSED: "at chance"}
        doubts = ", ".join(short.get(doubt, doubt) for doubt in self.doubts)
        words = (ROLES.get(self.role, self.role), self.stratum, self.letter)
        return " ".join(filter(None, words)) + (f" [{doubts}]" if doubts else "")

    @property
    def label(self) -> str:
        """Role and code length, unique within the search."""
        return f"{self.role_label}, {bits_label(self.bits)}"

    def band(self, attack: str) -> Interval:
        """MAP under ``clean``, an attack or ``worst``, with its interval over seeds and queries.

        It is over the seeds that were measured, `seeds_of` many. If one of them has no stored AP
        per query, the interval is NaN. If the attack was not run, the mean is NaN too.
        """
        values = self._measured(attack)
        kept = self.queries.get(attack)
        if kept is not None and len(kept) >= len(values):
            return seed_query_interval(kept)
        return Interval(float(values.mean()) if len(values) else np.nan, np.nan, np.nan)

    def seeds_of(self, attack: str) -> int:
        """How many seeds were measured under ``clean``, an attack or ``worst``.

        A battery adds attacks where a network needs them, so not every seed meets every attack.
        """
        return max(len(self._measured(attack)), len(self.queries.get(attack, ())))

    def _measured(self, attack: str) -> NDArray[np.float64]:
        """MAP, or t-MAP of a targeted attack, of the seeds that it was run on: ``(S,)``."""
        whole = [name for name, through in _ATTACK_OF.items() if through == attack]
        for name in whole or [f"{kind}.{attack}" for kind in SCORES]:
            values = self.seeds(name)
            if not np.isnan(values).all():
                return values[~np.isnan(values)]
        return np.empty(0)

    @cached_property
    def bands(self) -> dict[str, Interval]:
        """Means and intervals of clean and robust MAP."""
        return {metric: self.band(attack) for metric, attack in _ATTACK_OF.items()}

    def seeds(self, name: str) -> NDArray[np.float64]:
        """A metric on test queries by seed, ``(S,)``; NaN where not measured."""
        column = metric_column(Phase.TEST, name)
        if column not in self.trials:
            return np.full(len(self.trials), np.nan)
        return self.trials[column].to_numpy(dtype=np.float64)

    def parameter(self, key: str) -> Any:
        """The value of a key of the setting; None where the setting has no such key."""
        value = self.trials.iloc[0].get(f"param.{key}")
        return None if pd.isna(value) else value

    def summary(self, name: str) -> SeedSummary:
        """Mean and spread of a metric over seeds."""
        return seed_summary(self.seeds(name))

    def mean(self, name: str) -> float:
        """Mean of a metric over the seeds that have it."""
        return self.summary(name).mean


@dataclass(frozen=True)
class Gain:
    """A comparison declared in advance: a recommended setting and the default of the same bits."""

    recommended: ConfirmedConfig
    metric: str
    comparison: PairedComparison
    recommended_mean: float  # over the seeds of both settings
    default_mean: float


def confirmed_configs(results: SearchResults) -> list[ConfirmedConfig]:
    """Completed confirm and train trials, grouped by setting; recommended ones first."""
    tested = results.tested
    measured = tested[_TESTED].notna().all(axis=1)
    frame = tested[(tested["status"] == "completed") & measured]
    frame = frame.assign(bits=bit_lengths(frame)).sort_values("seed", kind="stable")
    compared = results.section("compare")
    searched = [*results.space, *(key for point in compared.values() for key in point)]
    others = [key for key in dict.fromkeys(searched) if f"param.{key}" != BITS]
    further = tuple(name for name in results.aims.names if name not in OBJECTIVES)
    configs = [
        ConfirmedConfig(
            search=results.name,
            role=first["role"],
            bits=int(first["bits"]),
            config_hash=first["config_hash"],
            stratum=_stratum(results, first),
            setting=describe_setting(first.to_dict(), others),
            trials=trials,
            **_kept(results, trials),
            further_objectives=further,
            address=results.tracked.address(trials["trial_id"].astype(str)),
        )
        for _, trials in frame.groupby(["role", "bits", "config_hash"])
        for first in [trials.iloc[0]]
    ]
    configs.sort(
        key=lambda config: (
            _ORDER.get(config.role, len(_ORDER)),
            _place(config),
            config.bits,
            -config.trials[_TESTED[1]].mean(),
        )
    )
    return _lettered(configs)


def _place(config: ConfirmedConfig) -> float:
    """The place of a recommended setting in the order of choice, in which it is confirmed."""
    first = config.trials["number"].min()
    return np.inf if config.role != "recommended" or pd.isna(first) else float(first)


def _lettered(configs: Sequence[ConfirmedConfig]) -> list[ConfirmedConfig]:
    """Name recommended settings A, B, …, and others that have the same role, bits and stratum."""
    counts = Counter(map(_peers, configs))
    numbers: dict[tuple[str, ...], Iterator[int]] = defaultdict(count)
    return [
        replace(config, letter=letter_at(next(numbers[_peers(config)])))
        if config.role == "recommended" or counts[_peers(config)] > 1
        else config
        for config in configs
    ]


def _peers(config: ConfirmedConfig) -> tuple[str, ...]:
    if config.role == "recommended":
        return (config.role,)
    return config.role, str(config.bits), config.stratum


def with_letters(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> SearchResults:
    """The results with the letters of its recommended settings, which mark explore trials too."""
    letters = {
        config.config_hash: config.letter
        for config in configs
        if config.role == "recommended" and config.search == results.name
    }
    return replace(results, letters=letters)


def _stratum(results: SearchResults, trial: pd.Series) -> str:
    """The value of the key of ``search.each`` that a setting has, unless it is undefended."""
    key = results.each
    if not key or trial["role"] not in ("recommended", "default"):
        return ""
    value = trial.get(f"param.{key}")
    return value_label(key, None if pd.isna(value) else value)


def distinct_labels(configs: Sequence[ConfirmedConfig]) -> tuple[str, ...]:
    """Labels of settings, with the search where there are several."""
    several = len({config.search for config in configs}) > 1
    return tuple(f"{s.search}: {s.label}" if several else s.label for s in configs)


def published_of(
    config: ConfirmedConfig, configs: Sequence[ConfirmedConfig]
) -> ConfirmedConfig | None:
    """The paper's default that a setting is compared with; None if it was not confirmed.

    It is of the same search, bits and stratum.
    """
    return next(
        (
            other
            for other in configs
            if other.role == "default"
            and (other.search, other.bits, other.stratum)
            == (config.search, config.bits, config.stratum)
        ),
        None,
    )


def gains_over_default(configs: Sequence[ConfirmedConfig]) -> list[Gain]:
    """Compare every recommended setting with the default of its bits over their common seeds.

    A setting whose clean MAP is at chance is compared with nothing: its robust MAP is void.
    """
    found = [(c, published_of(c, configs)) for c in configs if c.role == "recommended"]
    pairs = [(c, d) for c, d in found if d is not None and not (c.collapsed or d.collapsed)]
    gains = []
    for config, default in pairs:
        both = config.trials.merge(default.trials, on="seed")
        for name in reversed(OBJECTIVES):
            column = metric_column(Phase.TEST, name)
            a, b = (both[f"{column}_{side}"].to_numpy(np.float64) for side in "xy")
            comparison = compare_paired(a, b, comparisons=2 * len(pairs))
            means = seed_summary(a).mean, seed_summary(b).mean
            gains.append(Gain(config, name, comparison, *means))
    return gains


def _kept(results: SearchResults, trials: pd.DataFrame) -> dict[str, Any]:
    """Collect ``queries`` and ``query_counts`` from the stored files of the trials."""
    tables = [results.per_query(str(trial)) for trial in trials["trial_id"]]
    lowest = [t.groupby(["attack", "query"])["ap"].min() for t in tables if t is not None]
    if not lowest or len(lowest) < len(tables):
        return {"queries": {}, "query_counts": {}}
    attacks = dict.fromkeys(str(name) for ap in lowest for name in ap.index.unique("attack"))
    having = {name: [ap[name] for ap in lowest if name in ap.index] for name in attacks}
    queries = {
        attack: np.stack([ap.to_numpy(np.float64) for ap in found])
        for attack, found in having.items()
        # The interval resamples one set of queries for all seeds.
        if all(ap.index.equals(found[0].index) for ap in found)
    }
    counts = {attack: min(map(len, found)) for attack, found in having.items()}
    return {"queries": queries, "query_counts": counts}
