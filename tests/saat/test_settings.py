from dataclasses import dataclass, fields
from typing import Any, get_args

import pytest

from saat.attacks import ATTACKS
from saat.defenses import DEFENSES
from saat.pretrain import PretrainSettings
from saat.settings import file_key, option, option_fields
from tests import toy


@dataclass(frozen=True)
class Example:
    rate: float = option(0.5, ge=0.1, le=1, help="a rate")
    lambda_: float = option(1.0, ge=0, help="a weight", key="lambda")
    plain: int = 3


def test_fields_carry_default_bounds_and_help() -> None:
    rate, weight, _ = fields(Example)
    assert Example().rate == 0.5
    assert rate.metadata["bounds"] == {"ge": 0.1, "le": 1}
    assert weight.metadata["bounds"] == {"ge": 0}  # a bound of 0 is a bound
    assert rate.metadata["help"] == "a rate"


def test_files_name_a_field_by_its_key() -> None:
    assert [file_key(item) for item in fields(Example)] == ["rate", "lambda", "plain"]
    assert toy.options(Example(rate=0.1)) == {"rate": 0.1, "lambda": 1.0}


SETTINGS = [PretrainSettings, *(entry.settings for entry in DEFENSES.values()), *ATTACKS.values()]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.__name__)
def test_every_number_has_two_bounds_and_its_default_lies_within(settings: type[Any]) -> None:
    for item in option_fields(settings):
        if not {int, float} & {item.type, *get_args(item.type)}:
            continue
        bounds = item.metadata["bounds"]
        assert set(bounds) == {"ge", "le"}, item.name
        if isinstance(item.default, int | float):
            assert bounds["ge"] <= item.default <= bounds["le"], item.name
