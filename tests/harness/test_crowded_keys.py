"""Ends of a space where the best settings lie: when they are told, and what widens them."""

import random
import re
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.experiment.space import Dimension
from harness.search.space_edges import crowded_keys
from tests.reference_edges import grid, is_crowded, near_end

ALL: dict[str, tuple[float, float]] = {"key": (-1e9, 1e9)}


def crowded(
    specification: dict[str, Any], values: list[Any], limits: Any = ALL, key: str = "key"
) -> str:
    space = {key: Dimension.model_validate(specification)}
    return "".join(crowded_keys(space, [{key: value} for value in values], limits))


def told(sentence: str) -> dict[bool, int]:
    ends = re.findall(r"(\d+) of \d+ settings .*? the (upper|lower) end", sentence)
    return {end == "upper": int(near) for near, end in ends}


def override(sentence: str) -> str:
    return shlex.split(sentence.partition("--set ")[2])[0]


@given(
    st.integers(-20, 60),
    st.integers(1, 70),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.integers(1, 12),
    st.integers(0, 2**32),
)
def test_an_end_of_whole_numbers_is_told_by_the_plain_rule(
    low: int, width: int, step: int, log: bool, is_upper: bool, count: int, seed: int
) -> None:
    assume(step <= width and (not log or (low >= 1 and step == 1)))
    specification = {"int": [low, low + width]} | ({"log": True} if log else {"step": step})
    numbers = grid(low, low + width, step)
    inside, chance = near_end(numbers, is_upper, log, step)
    draw = random.Random(seed)
    near = [numbers[i] for i in inside]
    values = [draw.choice(near if draw.random() < 0.6 else numbers) for _ in range(count)]
    hits = sum(value in near for value in values)
    expected = {is_upper: hits} if is_crowded(hits, count, chance) else {}
    found = told(crowded(specification, values))
    assert {end: n for end, n in found.items() if end == is_upper} == expected


@given(
    st.floats(-3, 3),
    st.floats(0.1, 3),
    st.booleans(),
    st.booleans(),
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
)
def test_an_end_of_a_continuous_range_is_told_by_the_plain_rule(
    low: float, width: float, log: bool, is_upper: bool, positions: list[float]
) -> None:
    assume(all(abs(p - 0.05) > 1e-6 and abs(p - 0.95) > 1e-6 for p in positions))
    ends = [10**low, 10 ** (low + width)] if log else [low, low + width]
    values = [10 ** (low + p * width) if log else low + p * width for p in positions]
    near = sum(p > 0.95 if is_upper else p < 0.05 for p in positions)
    found = told(crowded({"float": ends, "log": log}, values))
    expected = {is_upper: near} if is_crowded(near, len(positions), 0.05) else {}
    assert {end: n for end, n in found.items() if end == is_upper} == expected


def test_few_values_need_more_settings_than_chance_explains() -> None:
    three = {"int": [1, 3]}
    assert not crowded(three, [3, 3, 1, 2])
    assert not crowded(three, [3, 3])
    assert told(crowded(three, [3] * 5)) == {True: 5}
    assert told(crowded({"int": [1, 5]}, [5, 5, 5, 5, 1])) == {True: 4}


def test_what_has_no_end_is_not_told() -> None:
    assert not crowded({"choice": [16, 32]}, [32, 32, 32])
    assert not crowded({"int": [5, 5]}, [5, 5, 5])
    assert not crowded({"float": [0.1, 10.0], "log": True}, [])
    assert not crowded({"float": [0.1, 10.0], "log": True}, [9.99])


def test_words_and_missing_values_are_no_settings_that_have_the_key() -> None:
    found = crowded({"float": [0.0, 1.0]}, ["auto", None, 0.99, 1.0])
    assert found
    assert "2 of 2 settings" in found
    assert told(found) == {True: 2}


def test_a_conditional_key_counts_where_it_applies() -> None:
    given = {"float": [0.1, 10.0], "when": {"defense.method": ["saat"]}}
    space = {"defense.lambda": Dimension.model_validate(given)}
    front = [
        {"defense.method": method, "defense.lambda": weight}
        for method, weight in (("saat", 10.0), ("saat", 9.8), ("cgat", 1.0), ("cgat", 1.0))
    ]
    (found,) = crowded_keys(space, [*front, {"defense.lambda": 10.0}], {})
    assert "2 of 2 settings" in found
    assert told(found) == {True: 2}


def test_a_setting_beyond_the_range_counts_at_its_end() -> None:
    found = crowded({"float": [2.0, 10.0]}, [1.0, 2.1, 5.0], key="defense.lambda")
    assert found
    assert "2 of 3 settings of the front lie within 5 % of the lower end (2) or beyond it;" in found


def test_the_sentence_names_key_end_and_override() -> None:
    found = crowded(
        {"float": [0.1, 10.0], "log": True},
        [10, 9.5, 9.9, 9.7, 1],
        {"defense.lambda": (0, 1e6)},
        "defense.lambda",
    )
    assert found
    assert found == (
        "λ: 4 of 5 settings of the front lie within 5 % of the upper end (10); to widen the space: "
        "--set 'space.defense.lambda={float: [0.1, 30], log: true}'"
    )


@pytest.mark.parametrize(
    ("key", "given", "values", "limits", "expected"),
    [
        (
            "defense.eps",
            {"float": [2 / 255, 16 / 255]},
            [16 / 255] * 3,
            (0, 1),
            ["2/255", "23/255"],
        ),
        ("defense.eps", {"float": [2 / 255, 16 / 255]}, [2 / 255] * 3, (0, 1), ["0/255", "16/255"]),
        ("defense.eps", {"float": [0.5, 0.9]}, [0.9] * 3, (0, 1), ["127.5/255", "255/255"]),
        ("defense.steps", {"int": [1, 10]}, [10] * 3, (1, 1000), [1, 15]),
        ("defense.steps", {"int": [3, 9], "step": 3}, [3] * 5, (1, 1000), [3, 9]),
        ("defense.steps", {"int": [4, 10], "step": 3}, [4] * 5, (1, 1000), [1, 10]),
        ("model.bits", {"int": [16, 64], "log": True}, [64] * 3, (1, 128), [16, 128]),
        ("model.bits", {"int": [4, 64], "log": True}, [4] * 3, (1, 4096), [1, 64]),
        ("defense.mu", {"float": [1e-5, 1e-2], "log": True}, [1e-5] * 3, (0, 1e6), [3e-6, 1e-2]),
        ("pretrain.lr", {"float": [0.0, 0.9], "step": 0.3}, [0.9] * 3, (0, 100), [0, 1.5]),
        ("pretrain.lr", {"float": [0.1, 1.0]}, [1.0] * 3, (0, 100), [0.1, 1.45]),
    ],
)
def test_the_range_grows_as_far_as_the_key_allows(
    key: str, given: dict[str, Any], values: list[Any], limits: Any, expected: list[Any]
) -> None:
    found = crowded(given, values, {key: limits}, key)
    kind = "int" if "int" in given else "float"
    if expected == given[kind]:
        assert found == ""
        return
    assert found
    name, _, text = override(found).partition("=")
    assert name == f"space.{key}"
    assert yaml.safe_load(text) == given | {kind: expected}


def test_an_end_that_is_the_limit_of_the_key_is_not_told() -> None:
    for searched, values, limits in (
        ({"float": [0.5, 1.0]}, [1.0] * 3, (0, 1)),
        ({"float": [0.0, 0.5]}, [0.0] * 3, (0, 1)),
        ({"int": [1, 10]}, [1] * 3, (1, 1000)),
        ({"float": [1e-12, 1.0], "log": True}, [1e-12] * 3, (0, 1)),
        ({"float": [0.0, 0.9], "step": 0.3}, [0.9] * 3, (0, 1.1)),
    ):
        assert crowded(searched, values, {"key": limits}) == ""


def test_both_ends_are_told_in_one_sentence_and_widened_together() -> None:
    found = crowded({"float": [1.0, 3.0]}, [1.0, 1.05, 3.0, 3.0], {"key": (0, 10)})
    assert found
    assert told(found) == {False: 2, True: 2}
    assert override(found) == "space.key={float: [0, 4]}"


def test_an_override_is_one_word_of_a_shell() -> None:
    given = {"float": [0.0, 1.0], "when": {"model.weights": "it's a $file"}}
    space = {"key": Dimension.model_validate(given)}
    (found,) = crowded_keys(space, [{"key": 1.0, "model.weights": "it's a $file"}] * 3, ALL)
    (word,) = shlex.split(found.partition("--set ")[2])
    assert yaml.safe_load(word.partition("=")[2])["when"] == {"model.weights": "it's a $file"}
