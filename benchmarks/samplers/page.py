"""The tables of ``docs/results/samplers.md``, made of the runs."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.samplers.comparison import (
    BAR,
    SIGNIFICANT,
    VARIANT,
    Paired,
    against,
    kept_at_once,
    plain,
    ranks,
)
from benchmarks.samplers.tables import LOOKED_AT
from saat.atomic_files import replacing
from saat.errors import InputError

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"  # around the tables of a page


def markdown(runs: pd.DataFrame, marks: Sequence[int]) -> str:
    """All tables: for one and for several trials at once, then those that compare the two.

    Args:
        runs: see :mod:`benchmarks.samplers.comparison`.
        marks: whole trainings after which shares are known, in ascending order.
    """
    value = f"after_{marks[-1]}"
    blocks: list[str] = []
    for at_once, part in runs.groupby("at_once"):
        title = "One trial at a time" if at_once == 1 else f"{at_once} trials at once"
        blocks += [f"## {title}", *_of_runs(part, marks, value)]
    several = [number for number in sorted(runs["at_once"].unique()) if number != 1]
    for at_once in several if 1 in set(runs["at_once"]) else ():
        blocks += [f"## {at_once} at once against one at a time", *_at_once(runs, marks, at_once)]
    blocks += ["## Time of a suggestion", _seconds(runs)]
    return "\n\n".join(blocks)


def write_into(page: Path, tables: str) -> None:
    """Replace the tables of a page, which stand between two comments."""
    before, after = around_tables(page)
    with replacing(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


def around_tables(page: Path) -> tuple[str, str]:
    """The text of a page before and after its tables.

    Raises:
        InputError: no page, or it lacks a comment.
    """
    text = page.read_text() if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page}: no tables to replace; mark their place with {BEGIN} and {END}")
    return before, after


def _of_runs(runs: pd.DataFrame, marks: Sequence[int], value: str) -> Iterator[str]:
    shown = plain(runs)
    samplers = [str(name) for name in ranks(shown, value).columns]
    seeds = shown.groupby(["table", "sampler"])["seed"].nunique()
    least, most = seeds.min(), seeds.max()
    yield f"{least if least == most else f'{least} to {most}'} seeds."
    tests = against(runs, value)
    yield _shares(shown, value, samplers, tests)
    yield _table("rank", samplers, _rank_rows(shown, value, samplers))
    yield _table("mean rank after", samplers, _ranks_after(shown, marks, samplers))
    if tests:
        yield _table(
            f"against {BAR}",
            ("tests", "better", "worse", "better, corrected", "worse, corrected"),
            _verdicts(tests),
        )
    if len(shown) < len(runs):
        yield _variants(runs, value)


def _shares(
    runs: pd.DataFrame, value: str, samplers: Sequence[str], tests: Iterable[Paired]
) -> str:
    signs = {(test.table, test.sampler): _sign(test) for test in tests}
    rows = []
    for name in sorted(runs["table"].unique(), key=lambda name: (name not in LOOKED_AT, name)):
        part = runs[runs["table"] == name]
        cells = []
        for sampler in samplers:
            own = part.loc[part["sampler"] == sampler, value]
            if own.empty:
                cells.append("–")
                continue
            low, middle, high = own.quantile([0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f} ({low:.2f}–{high:.2f}){signs.get((name, sampler), '')}")
        rows.append((f"{name}{' *' if name in LOOKED_AT else ''}", cells))
    return _table("problem", samplers, rows)


def _sign(test: Paired) -> str:
    if test.p >= SIGNIFICANT:
        return ""
    return " " + (1 + (test.corrected < SIGNIFICANT)) * ("↑" if test.better else "↓")


def _rank_rows(
    runs: pd.DataFrame, value: str, samplers: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    for title, part in (
        ("all", runs),
        ("not looked at", runs[~runs["table"].isin(LOOKED_AT)]),
    ):
        found = ranks(part, value)
        for statistic in ("mean", "median") if len(found) else ():
            row = found.agg(statistic)
            yield f"{title}, {statistic}", [f"{row[sampler]:.2f}" for sampler in samplers]


def _ranks_after(
    runs: pd.DataFrame, marks: Sequence[int], samplers: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    for mark in marks:
        mean = ranks(runs, f"after_{mark}").mean()
        yield f"{mark} trainings", [f"{mean[sampler]:.2f}" for sampler in samplers]


def _verdicts(tests: Sequence[Paired]) -> Iterator[tuple[str, list[str]]]:
    for name in dict.fromkeys(test.sampler for test in tests):
        own = [test for test in tests if test.sampler == name]
        counts = [
            sum(p < SIGNIFICANT and test.better == better for test, p in zip(own, ps, strict=True))
            for ps in ([test.p for test in own], [test.corrected for test in own])
            for better in (True, False)
        ]
        yield name, [str(len(own)), *map(str, counts)]


def _variants(runs: pd.DataFrame, value: str) -> str:
    """Differences of the medians of a variant and of its sampler, over tables."""
    medians = runs.groupby(["table", "sampler"])[value].median().unstack("sampler")
    rows = []
    for name in medians.columns[medians.columns.str.contains(VARIANT)]:
        gain = (medians[name] - medians[name.partition(VARIANT)[0]]).dropna().sort_values()
        ends = [f"{gain.iloc[at]:+.2f} ({gain.index[at]})" for at in (0, -1)]
        rows.append((name, [f"{gain.median():+.2f}", *ends]))
    return _table("variant", ("median over problems, points", "lowest", "highest"), rows)


def _at_once(runs: pd.DataFrame, marks: Sequence[int], at_once: int) -> Iterator[str]:
    kept = {mark: 100 * kept_at_once(plain(runs), f"after_{mark}", at_once) for mark in marks}
    last = kept[marks[-1]]
    rows = [
        (
            str(name),
            [
                *(f"{kept[mark][name].median():.1f}" for mark in marks),
                f"{last[name].min():.1f} ({last[name].idxmin()})",
            ],
        )
        for name in last
    ]
    columns = (*(f"after {mark}" for mark in marks), f"lowest problem after {marks[-1]}")
    yield _table("kept, %", columns, rows)


def _seconds(runs: pd.DataFrame) -> str:
    found = runs.groupby(["sampler", "table"])["suggestion_s"].median().unstack("sampler")
    rows = [
        (str(name), [f"{found[name].median():.4f}", f"{found[name].max():.4f}"])
        for name in found.median().sort_values().index
    ]
    return _table("CPU seconds", ("median over problems", "slowest problem"), rows)


def _table(corner: str, columns: Iterable[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    head = [corner, *columns]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
