"""The values of our YAML are those of PyYAML's safe loader, but for what a file must not hold."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.yaml_file import parse_yaml, read_yaml
from saat.errors import InputError

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=12,
)


@given(values, st.booleans())
def test_what_is_written_is_read_again(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    ["8/255", "1e-4", "1.0e-4", "-3", "+3", "1_000", "0x1F", "0b11", ".inf", "-.INF", "1_0.5", "~",
     "", "yes", "Off", "TRUE", "null", "'5'", '"5"', "|\n a\n b\n", ">\n a\n b\n", "[1, [2.5], {}]",
     "a: 1\nb: {c: [x, 'y: z'], 3: null}\n", "- &x {a: 1}\n- *x\n", "# a comment"],
)  # fmt: skip
def test_a_plain_value_is_that_of_the_safe_loader(text: str) -> None:
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2024-05-01", "2024-05-01"), ("010", "010"), ("1:30", "1:30"), ("1:30.5", "1:30.5"),
     ("=", "="), ("{no: 1, ~: 2, 3: 4}", {"no": 1, "~": 2, 3: 4})],
)  # fmt: skip
def test_dates_leading_zeros_and_base_60_are_texts_and_so_are_keys(text: str, value: Any) -> None:
    assert parse_yaml(text) == value


def test_a_negative_zero_is_zero() -> None:
    assert str(parse_yaml("-0.0")) == "0.0"


def test_an_alias_is_a_value_of_its_own() -> None:
    first, second = parse_yaml("[&x {a: [1]}, *x]")
    assert first == second
    assert first["a"] is not second["a"]


@pytest.mark.parametrize("text", ["1: a\n'1': b\n", "'1': a\n1: b\n"])
def test_a_key_is_given_once_however_it_is_written(text: str) -> None:
    with pytest.raises(InputError, match="line 2 the key 1 is given twice"):
        parse_yaml(text)


def test_the_key_that_merges_is_a_text_in_quotes() -> None:
    assert parse_yaml("'<<': {a: 1}") == {"<<": {"a": 1}}
    with pytest.raises(InputError, match="merging is not read"):
        parse_yaml("<<: {a: 1}")


@pytest.mark.parametrize("whole", ["[*a{}]", "{{b: *a{}}}"])
def test_no_chain_of_aliases_is_nested_deeper_than_a_file_may_be(whole: str) -> None:
    lines = [f"a{n + 1}: &a{n + 1} {whole.format(n)}\n" for n in range(20)]
    with pytest.raises(InputError, match="nested more than 12 deep"):
        parse_yaml("a0: &a0 x\n" + "".join(lines))


def test_a_file_that_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml: no such file"):
        read_yaml(tmp_path / "no.yaml", "an experiment")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path, "an experiment")


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_one_error(text: str) -> None:
    said = ""
    try:
        parse_yaml(text)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
