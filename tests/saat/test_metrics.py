"""The registry of metrics: names, phases, and what no other package may bring."""

import math

import pytest

from saat.feasibility import Aims
from saat.metrics import METRICS, OBJECTIVES, REFERENCES, Metric, Phase, Unit, final_metrics, known
from saat.metrics.interface import problem_with


def test_every_metric_says_what_it_is() -> None:
    for name, entry in METRICS.items():
        assert METRICS.description(name).endswith("."), name
        assert entry.label, name
        assert entry.phases, name
        assert entry.version >= 1, name
    labels = [entry.label for entry in METRICS.values()]
    assert len(labels) == len(set(labels))


def test_names_lead_to_metrics_and_attacks() -> None:
    for name, kind, attack in (
        *((name, name, "") for name in (*OBJECTIVES, *REFERENCES)),
        ("map.hag", "map", "hag"),
        ("map.apgd_mainstay.leaky", "map", "apgd_mainstay.leaky"),
        ("tmap.clean", "tmap.clean", ""),
        ("zero_grad", "zero_grad", ""),
        ("lift.robust", "lift.robust", ""),
    ):
        assert known(name) == (METRICS[kind], kind, attack)
    for name in ("", "novel", "novel.hag", "clean_map.hag", "map."):
        assert known(name) is None


def test_final_metrics_are_of_test_queries_where_there_are_any() -> None:
    both = {"test/clean_map": 0.5, "reattack/clean_map": 0.6, "val/clean_map": 0.7}
    assert final_metrics(both) == {"clean_map": 0.5}
    assert final_metrics({k: v for k, v in both.items() if k[0] != "t"}) == {"clean_map": 0.6}
    assert final_metrics({"val/clean_map": 0.7}) == {}


def test_objectives_are_those_of_the_phase() -> None:
    both = {"reattack/clean_map": 0.6, "reattack/robust_map": 0.5, "val/robust_map": 0.7}
    aims = Aims.of({})
    assert aims.values(both) == (0.6, 0.5)
    clean, robust = aims.values(both, Phase.VALIDATION)
    assert math.isnan(clean)
    assert robust == 0.7


@pytest.mark.parametrize(
    ("reached", "feasible", "allowed"),
    [(0.5, True, True), (0.4, False, False), (0.51, True, True), (math.nan, False, False)],
)
def test_constraints_hold_from_their_minimum_on(
    reached: float, feasible: bool, allowed: bool
) -> None:
    aims = Aims.of({"constraints": {"val/robust_map": {"at_least": 0.5}}})
    metrics = {"reattack/clean_map": 0.8, "reattack/robust_map": reached, "val/robust_map": 0.9}
    assert aims.constraints.are_kept(metrics) == feasible
    assert aims.allow(metrics) == allowed
    asked = aims.constraints
    assert asked.violations({"reattack/clean_map": 0.8}) == {"robust_map": math.inf}
    assert [asked.bound_of(objective) for objective in aims.objectives] == [None, 0.5]


def test_what_is_at_chance_is_on_no_front_however_feasible() -> None:
    metrics = {"reattack/clean_map": 0.3, "reattack/robust_map": 0.3, "reattack/chance_map": 0.3}
    aims = Aims.of({"constraints": {"val/clean_map": {"at_least": 0.2}}})
    assert aims.constraints.are_kept(metrics)
    assert not aims.allow(metrics)


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (len, "must be a saat.metrics.Metric"),
        (Metric(len, "x", constraint=True), "more or less is better"),
        (Metric(len, "x", higher_is_better=True, per_attack=True, objective=True), "one number"),
        (
            Metric(len, "x", higher_is_better=True, phases=frozenset({Phase.TEST}), objective=True),
            "full protocol",
        ),
        (Metric(len, "x", higher_is_better=False, of_trial=True), "by saat-harness alone"),
        (Metric(len, "x", higher_is_better=True, constraint=True), None),
        (Metric(len, "x", Unit.COUNT, higher_is_better=False, objective=True), None),
        (Metric(len, "x", Unit.COUNT), None),
    ],
)
def test_another_package_brings_metrics_alone(entry: object, word: str | None) -> None:
    problem = problem_with(entry)
    assert (problem is None) == (word is None)
    assert word is None or word in str(problem)
