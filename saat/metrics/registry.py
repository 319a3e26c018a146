"""Metrics: what an evaluation is measured by, and all that their readers need to know of them.

``METRICS`` is read by the evaluation, the trial's records, ``saat verify``, the tables and figures
of a report, and the objectives and constraints of an experiment. Nothing is imported before a
metric is asked for, and no metric imports torch before it is computed: a report needs labels and
units alone.
"""

from collections.abc import Mapping
from typing import NamedTuple

from saat.metrics.interface import Metric, Phase, problem_with
from saat.registry import Registry, first_line

# What a search maximises if its file does not say, and what a robust MAP is read beside.
OBJECTIVES = ("clean_map", "robust_map")
REFERENCES = ("chance_map", "floor_map")
# Metrics of a trial. They are named here, so that a journal is read without the metrics of other
# packages.
_OF_TRIAL = ("device_seconds",)

# Plain name → metric, in the order in which they are stored; of a metric per attack the part before
# the attack's name.
METRICS: Registry[Metric] = Registry(
    "metric",
    "saat.metrics",
    {
        "clean_map": "saat.metrics.clean_and_robust:clean_map",
        "robust_map": "saat.metrics.clean_and_robust:robust_map",
        "chance_map": "saat.metrics.clean_and_robust:chance_map",
        "floor_map": "saat.metrics.clean_and_robust:floor_map",
        "target_map": "saat.metrics.clean_and_robust:target_map",
        "lift.clean": "saat.metrics.clean_and_robust:clean_lift",
        "lift.robust": "saat.metrics.clean_and_robust:robust_lift",
        "distinct_codes": "saat.metrics.clean_and_robust:distinct_codes",
        "map": "saat.metrics.clean_and_robust:attacked_map",
        "tmap.clean": "saat.metrics.clean_and_robust:clean_target_map",
        "tmap": "saat.metrics.clean_and_robust:attacked_target_map",
        "linf": "saat.metrics.attacks:linf",
        "l2": "saat.metrics.attacks:l2",
        "l1": "saat.metrics.attacks:l1",
        "matrix_linf": "saat.metrics.attacks:matrix_linf",
        "matrix_l2": "saat.metrics.attacks:matrix_l2",
        "mse": "saat.metrics.attacks:mse",
        "theory": "saat.metrics.clean_and_robust:theoretical_map",
        "zero_grad": "saat.metrics.attacks:zero_gradients",
        "code_length": "saat.metrics.costs:code_length",
        "device_seconds": "saat.metrics.costs:device_seconds",
        "gates_failed": "saat.metrics.attacks:gates_failed",
        "attacks_skipped": "saat.metrics.attacks:attacks_skipped",
    },
    problem=problem_with,
    describe=lambda entry: first_line(entry.compute),
)


class Known(NamedTuple):
    """What a plain name stands for: a metric, its name in the registry, and an attack.

    ``attack`` is empty for a metric that is measured once.
    """

    entry: Metric
    kind: str
    attack: str


def known(name: str) -> Known | None:
    """The metric of a plain name such as ``map.hag``; None where no package here has it.

    Raises:
        InputError: another package brings the metric, and it cannot be used.
    """
    if name in METRICS:
        return Known(METRICS[name], name, "")
    kind, _, attack = name.partition(".")
    if attack and kind in METRICS and METRICS[kind].per_attack:
        return Known(METRICS[kind], kind, attack)
    return None


def final_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """A trial's metrics under the full protocol by their plain names; none before its end.

    Those on test queries where there are any, else those of the re-attack on validation queries.
    """
    return Phase.TEST.of(metrics) or Phase.REATTACK.of(metrics)


def with_trial_metrics(metrics: Mapping[str, float], cost_s: float) -> dict[str, float]:
    """Metrics by their stored names, with the trial's own (``of_trial``) in the same phases.

    ``cost_s`` are the seconds of work that the trial had taken when they were measured.
    """
    measured = {Phase(begin) for begin in {key.partition("/")[0] for key in metrics} & set(Phase)}
    own = {
        phase.key(name): float(METRICS[name].compute(cost_s))
        for name in _OF_TRIAL
        for phase in measured & METRICS[name].phases
    }
    return {**metrics, **own}
