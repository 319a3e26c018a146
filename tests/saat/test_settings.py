from dataclasses import dataclass, fields

from saat.defenses import SaatSettings
from saat.settings import file_key, items, option


@dataclass(frozen=True)
class Example:
    rate: float = option(0.5, gt=0, le=1, help="a rate")
    lambda_: float = option(1.0, ge=0, help="a weight", key="lambda")
    plain: int = 3


def test_fields_carry_default_bounds_and_help() -> None:
    rate, weight, _ = fields(Example)
    assert Example().rate == 0.5
    assert rate.metadata["bounds"] == {"gt": 0, "le": 1}
    assert weight.metadata["bounds"] == {"ge": 0}  # a bound of 0 is a bound
    assert rate.metadata["help"] == "a rate"


def test_files_name_a_field_by_its_key() -> None:
    assert [file_key(item) for item in fields(Example)] == ["rate", "lambda", "plain"]
    assert dict(items(Example(rate=0.1))) == {"rate": 0.1, "lambda": 1.0}


def test_published_defaults_lie_within_their_bounds() -> None:
    for item in fields(SaatSettings):
        bounds = item.metadata["bounds"]
        if not bounds:
            continue
        assert item.default >= bounds.get("ge", item.default)
        assert item.default > bounds.get("gt", float("-inf"))
        assert item.default <= bounds.get("le", item.default)
