"""Importance of searched keys, on functions whose answer is known."""

import numpy as np
import pytest

from harness.experiment.space import Dimension
from harness.search.importance import FEWEST_TRIALS, key_importances

KEYS = ("defense.lambda", "defense.eps", "model.bits")


def space() -> dict[str, Dimension]:
    return {
        "defense.lambda": Dimension.model_validate({"float": [0.1, 10], "log": True}),
        "defense.eps": Dimension.model_validate({"float": [0.0, 0.1]}),
        "model.bits": Dimension.model_validate({"choice": [16, 32]}),
        "defense.mu": Dimension.model_validate({"float": [0.0, 1.0], "when": {"model.bits": 32}}),
    }


def drawn(count: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [
        {
            "defense.lambda": float(10 ** rng.uniform(-1, 1)),
            "defense.eps": float(rng.uniform(0, 0.1)),
            "model.bits": int(rng.choice([16, 32])),
        }
        for _ in range(count)
    ]


def test_the_key_that_decides_an_objective_has_its_importance() -> None:
    settings = drawn(120)
    # Robust MAP depends on λ alone, clean MAP on ε alone; larger is better for both.
    values = [[-s["defense.eps"], np.log(s["defense.lambda"])] for s in settings]
    found = key_importances(space(), settings, values, ("clean_map", "robust_map"))
    shares = {(one.objective, one.key): one for one in found}
    assert set(shares) == {(o, k) for o in ("clean_map", "robust_map") for k in KEYS}
    for objective, key in (("clean_map", "defense.eps"), ("robust_map", "defense.lambda")):
        one = shares[objective, key]
        assert one.share > 0.8
        assert one.low > max(shares[objective, k].share for k in KEYS if k != key)
        assert sum(shares[objective, k].share for k in KEYS) == pytest.approx(1)
        assert all(shares[objective, k].low <= shares[objective, k].high for k in KEYS)


def test_a_choice_can_be_what_matters() -> None:
    settings = drawn(120)
    noise = np.random.default_rng(1).normal(0, 1e-3, len(settings))
    values = [[s["model.bits"] + more] for s, more in zip(settings, noise, strict=True)]
    found = key_importances(space(), settings, values, ("clean_map",))
    assert max(found, key=lambda one: one.share).key == "model.bits"


def test_of_few_or_equal_trials_nothing_is_said() -> None:
    settings = drawn(FEWEST_TRIALS)
    flat = [[0.5]] * FEWEST_TRIALS
    assert key_importances(space(), settings, flat, ("clean_map",)) == []
    values = [[s["defense.eps"]] for s in settings]
    assert key_importances(space(), settings, values, ("clean_map",))
    outside = [{**settings[0], "defense.eps": 0.2}, *settings[1:]]
    assert key_importances(space(), outside, values, ("clean_map",)) == []
    one = {"defense.eps": space()["defense.eps"]}
    assert key_importances(one, settings, values, ("clean_map",)) == []
