"""CSV files hold no formulas, and reading them back gives what was written."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.csv_files import csv_text, read_csv

TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n")
HOSTILE = [f"{mark}cmd|' /C calc'!A0" for mark in TRIGGERS] + ["'=1", "''", "a=b", "-1"]


def cells(text: str) -> list[str]:
    """Every cell as a spreadsheet gets it."""
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_is_a_formula(hostile: str) -> None:
    frame = pd.DataFrame(
        {hostile: [hostile, "plain"], "typed": pd.Series([hostile, "b"], dtype="string")}
    )
    text = csv_text(frame)
    assert not [cell for cell in cells(text) if cell.startswith(TRIGGERS)]
    again = read_csv(text)
    assert list(again.columns) == [hostile, "typed"]
    assert again[hostile].tolist() == [hostile, "plain"]
    assert again["typed"].tolist() == [hostile, "b"]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"gain": [-0.035, 1e-7], "count": [-3, 2], "yes": [True, False]})
    path = tmp_path / "t.csv"
    path.write_text(csv_text(frame), encoding="utf-8")
    assert path.read_text().splitlines()[1] == "-0.035,-3,True"
    pd.testing.assert_frame_equal(read_csv(path), frame)


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=6
).filter(lambda text: text.strip())


@given(st.lists(st.tuples(st.sampled_from(["", *TRIGGERS, "'"]), TEXT), min_size=1, max_size=5))
def test_whatever_is_written_is_read_back(parts: list[tuple[str, str]]) -> None:
    written = [
        f"x{mark}{text}" if i == 0 else f"{mark}{text}" for i, (mark, text) in enumerate(parts)
    ]
    frame = pd.DataFrame({"name": pd.Series(written, dtype="object")})
    text = csv_text(frame)
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert not [row for row in rows if row and row[0].startswith(TRIGGERS)]
    neutral = [row[0] for row in rows]
    plain = [cell[1:] if cell[:1] == "'" else cell for cell in neutral]
    assert plain == written
