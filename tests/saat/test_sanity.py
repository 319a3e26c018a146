"""What numbers say against themselves: chance, one code for all, gradients that are zero."""

import math

import numpy as np
import pytest
import torch

from saat.bootstrap import bootstrap_interval
from saat.codes import distinct_codes
from saat.reliability.strength import significantly_above
from saat.retrieval import average_precision, chance_average_precision
from saat.sanity import (
    at_chance,
    has_dead_gradients,
    warning_lines,
    warnings_of,
    zero_gradients,
)
from saat.thresholds import CHANCE_MARGIN

FINE = {"clean_map": 0.8, "robust_map": 0.5, "chance_map": 0.2, "distinct_codes": 90.0}


def measured(clean: torch.Tensor, chance: torch.Tensor) -> dict[str, float]:
    """Metrics of a network that no attack harmed."""
    lift = bootstrap_interval(clean - chance).low
    means = {"clean_map": float(clean.mean()), "chance_map": float(chance.mean())}
    return means | {"robust_map": means["clean_map"], "lift.clean": lift, "lift.robust": lift}


def searched(codes: torch.Tensor, labels: torch.Tensor, queries: int) -> dict[str, float]:
    """Metrics of codes of which the first ones are the queries."""
    parts = codes[:queries], labels[:queries], codes[queries:], labels[queries:]
    chance = chance_average_precision(labels[:queries], labels[queries:], 100)
    return measured(average_precision(*parts, top_k=100), chance)


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    """340 images of ten classes; some have two."""
    rng = np.random.default_rng(0)
    drawn = np.eye(10)[rng.integers(10, size=(2, 340))].max(0)
    return torch.from_numpy(drawn.astype(np.uint8))


def test_equal_codes_are_at_chance_to_the_last_digit(labels: torch.Tensor) -> None:
    found = searched(torch.ones(340, 16), labels, 40)
    assert found["clean_map"] == pytest.approx(found["chance_map"], abs=1e-12)
    assert at_chance(found) == ("clean", "robust")


def test_random_codes_are_at_chance_whatever_they_score_by_luck(labels: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(340, 16, generator=generator).sign() for _ in range(100)]
    found = [searched(codes, labels, 40) for codes in drawn]
    assert any(f["clean_map"] > f["chance_map"] for f in found), "otherwise the test says nothing"
    assert sum(not at_chance(f) for f in found) <= 2


def test_codes_of_the_classes_are_above_chance(labels: torch.Tensor) -> None:
    centres = torch.randn(10, 16, generator=torch.Generator().manual_seed(2))
    assert at_chance(searched((labels.float() @ centres).sign(), labels, 40)) == ()


def test_the_gate_and_the_rule_are_one() -> None:
    generator = torch.Generator().manual_seed(3)
    chance = torch.full((50,), 0.3, dtype=torch.float64)
    for shift in np.linspace(-0.02, 0.08, 41):
        clean = chance + shift + 0.05 * torch.randn(50, generator=generator).double()
        gate = significantly_above(clean, chance, CHANCE_MARGIN)
        assert gate == (at_chance(measured(clean, chance)) == ())


@pytest.mark.parametrize(
    ("clean", "robust", "expected"),
    [
        (0.9, 0.5, ()),
        (0.9, 0.2, ("robust",)),
        (0.9, 0.05, ("robust",)),
        (0.205, 0.205, ("clean", "robust")),
        (0.9, math.nan, ()),
    ],
)
def test_without_intervals_the_means_decide(
    clean: float, robust: float, expected: tuple[str, ...]
) -> None:
    found = {"clean_map": clean, "robust_map": robust, "chance_map": 0.2}
    assert at_chance(found) == expected
    assert at_chance({k: v for k, v in found.items() if k != "chance_map"}) == ()


def test_fine_numbers_raise_no_warning() -> None:
    assert warnings_of(FINE) == {}
    assert warnings_of({}) == {}
    assert warning_lines({"a": FINE, "b": {}}) == []


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"chance_map": 0.0, "clean_map": 0.0, "robust_map": 0.0}, "chance is 0 %"),
        ({"chance_map": 1.0, "clean_map": 1.0, "robust_map": 1.0}, "chance is 100 %"),
        ({"clean_map": 0.2, "robust_map": 0.2}, "clean MAP is not above chance"),
        ({"robust_map": 0.2}, "robust MAP is not above chance"),
        ({"distinct_codes": 1.0}, "all images of the database have one code"),
        ({"zero_grad.mainstay": 1.0}, "input gradients are exactly zero"),
    ],
)
def test_every_warning_is_one_line(changes: dict[str, float], phrase: str) -> None:
    (line,) = warning_lines({"model": FINE | changes})
    assert line.startswith(phrase)
    assert "\n" not in line
    assert "model" in line


def test_a_line_names_three_models_and_counts_the_others() -> None:
    (line,) = warning_lines({f"trial{i}": FINE | {"robust_map": 0.1} for i in range(5)})
    assert "trial2 (10.0 % where chance is 20.0 %) and 2 more" in line
    assert "trial3" not in line


def test_gradients_count_as_the_attack_that_sees_most_of_them() -> None:
    found = {"zero_grad.mainstay": 1.0, "zero_grad.hag": 0.3, "zero_grad.square": 0.0}
    assert zero_gradients(found) == 0.3
    for name in ("rank_only", "prosgan", "tta_gan", "all_points", "ss_tuaa"):
        assert zero_gradients({"zero_grad.mainstay": 1.0, f"zero_grad.{name}": 0.0}) == 1.0
    assert has_dead_gradients(found)
    assert not has_dead_gradients({"zero_grad.mainstay": 0.05})


def test_a_second_attack_through_leaky_rectifiers_tells_of_dead_gradients() -> None:
    found = {"zero_grad.apgd": 0.05, "zero_grad.apgd.leaky": 0.0, "map.apgd.leaky": 0.4}
    assert has_dead_gradients(found)
    assert not has_dead_gradients(found | {"map.apgd.leaky": math.nan})
    blind = found | {"zero_grad.apgd": 0.6}
    assert zero_gradients(blind, stand_ins=False) == 0.6
    assert not warnings_of(FINE | blind), "the leaky attack saw gradients"


@pytest.mark.parametrize("bits", [3, 8, 16, 33])
def test_distinct_codes(bits: int) -> None:
    codes = torch.randn(50, bits, generator=torch.Generator().manual_seed(bits)).sign()
    assert distinct_codes(codes) == len({tuple(row) for row in codes.tolist()})
    assert distinct_codes(torch.ones(4, bits, dtype=torch.int8)) == 1
    assert distinct_codes(codes[:0]) == 0
