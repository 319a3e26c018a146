"""What a search says of itself before it starts."""

from typing import Any

import pytest

from harness.session.checks import notes_of_search
from tests.harness.fakes import experiment


def notes(
    grace: int = 1, scheduler: str = "pareto_asha", epochs: int = 6, **changes: Any
) -> list[str]:
    searched = experiment(
        defense__epochs=epochs,
        search__grace_period=grace,
        search__reduction_factor=2,
        search__scheduler=scheduler,
        **changes,
    )
    return notes_of_search(searched)


@pytest.mark.parametrize(
    ("warm_up", "grace", "epochs"),
    [(3, 2, "epoch 2,"), (4, 2, "epochs 2 and 4,"), (2, 2, "epoch 2,")],
)
def test_a_rung_within_the_warm_up_is_said(warm_up: int, grace: int, epochs: str) -> None:
    (note,) = notes(grace, defense__eps_warmup=warm_up)
    assert f"defense.eps_warmup: up to {warm_up}, so ε may still grow at {epochs}" in note
    assert note.endswith(f"from search.grace_period={warm_up + 1} on it would not")
    assert notes(warm_up + 1, defense__eps_warmup=warm_up) == []


def test_the_longest_searched_warm_up_counts() -> None:
    space = {"defense.eps_warmup": {"choice": [0, 3]}}
    assert "up to 3" in notes(2, space=space)[0]
    assert notes(4, space=space) == []


def test_nothing_is_said_where_no_trial_is_stopped_or_nothing_grows() -> None:
    assert notes(2, "none", defense__eps_warmup=3) == []
    assert notes(2) == []
    assert notes(7, defense__eps_warmup=5) == []  # no rung below the last epoch
