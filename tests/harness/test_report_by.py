"""``saat report --by KEY``: which keys have few values."""

from typing import Any

import pytest

from harness.experiment.space import Dimension
from harness.experiment.strata import MOST_VALUES, check_by
from saat.errors import InputError
from tests.reports.synthetic import EXPERIMENT

SPACE = {key: Dimension.model_validate(given) for key, given in EXPERIMENT["space"].items()}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("defense.lamda", "does not search this key; allowed: model.bits, defense.steps; did you"),
        ("defense.lambda", "more than 12 values"),
        ("bits", "run does not search this key"),
        ("", "run does not search this key"),
    ],
)
def test_a_key_without_few_values_is_refused_in_one_line(key: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        check_by(key, SPACE, "run")
    (line,) = refused.value.faults
    assert words in line


@pytest.mark.parametrize(
    ("specification", "fits"),
    [
        ({"choice": list(range(MOST_VALUES))}, True),
        ({"choice": list(range(MOST_VALUES + 1))}, False),
        ({"int": [1, MOST_VALUES]}, True),
        ({"int": [0, MOST_VALUES]}, False),
        ({"int": [0, 100], "step": 10}, True),
        ({"float": [0.0, 0.3], "step": 0.1}, True),
        ({"float": [0.0, 0.3]}, False),
        ({"float": [0.3, 0.3]}, True),
    ],
)
def test_a_key_fits_if_its_values_can_be_counted(specification: dict[str, Any], fits: bool) -> None:
    space = {"defense.x": Dimension.model_validate(specification)}
    if fits:
        check_by("defense.x", space, "run")
        return
    with pytest.raises(InputError, match="more than 12 values"):
        check_by("defense.x", space, "run")
