"""Counts agree with their nouns."""

import pytest

from saat.wording import counted


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (12_345_678, "12345678 trials")],
)
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert counted(count, "trial") == text


def test_irregular_plurals_and_parts() -> None:
    assert [counted(n, "query", "queries") for n in (1, 3)] == ["1 query", "3 queries"]
    assert [counted(n, "GPU") for n in (1.0, 0.5, 2.0)] == ["1 GPU", "0.5 GPUs", "2 GPUs"]
