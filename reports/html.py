"""The report of one or several searches: one self-contained page, figures and tables."""

import base64
import dataclasses
import gzip
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from reports.by_key import tuned_table, values_table
from reports.choice import reasons
from reports.citation import bibtex, origin_terms
from reports.conclusions import conclusions
from reports.confirmed import confirmed_configs, gains_over_default, with_letters
from reports.csv_files import csv_text
from reports.figures import ReportFigure, notes, overlaid_figures, search_figures
from reports.figures.print_files import FigureFiles
from reports.figures.static import STATIC_STYLE
from reports.matrix import matrix_table, targeted_matrix, untargeted_matrix
from reports.page_views import View, filters_of, save_figure, save_table
from reports.protocol import flattened, protocol_terms
from reports.results import SearchResults
from reports.stopping import stopping_table
from reports.strongest import strongest_table
from reports.summary import headline, summary_table, warnings
from reports.tables import (
    attacks_table,
    confirm_table,
    front_table,
    gains_table,
    time_table,
    trials_table,
)
from reports.templating import rendered
from saat.feasibility import Objective

# Figures that the template places itself; any other comes at the end of its section.
_FIXED_FIGURES = ("frontier", "coordinates", "timeline", "stages", "early_stopping",
           "confirmed", "matrix", "targeted", "hypervolume", "learning_curves",
           "ablation", "dependence", "importance", "parameters", "attainment", "seeds",
           "strengths", "precision_recall", "precision_at", "ap_per_query", "examples")  # fmt: skip


def write_report(
    searches: Sequence[SearchResults], out_dir: Path, by: str = "", files: FigureFiles = "usual"
) -> Path:
    """Write ``report.html``, ``frontier.csv``, ``figures/`` and ``tables/`` into a folder.

    Searches are drawn over each other where their protocols are equal, and apart otherwise.

    Args:
        searches: at least one, as `reports.results.load_search` returns them.
        out_dir: made if it does not exist; files of an earlier report are overwritten.
        by: a searched key, each value of which has a front of its own and a row in two tables;
            the key of ``search.each`` by default.
        files: which files of charts are written to ``figures/``, which takes most of the time;
            see `reports.figures.print_files.write_figure`.

    Returns:
        The path of ``report.html``.

    Raises:
        InputError: a file of a trial is broken.
        ValueError: there is no search.
    """
    if not searches:
        raise ValueError("a report needs at least one search")
    out_dir.mkdir(parents=True, exist_ok=True)
    named = _with_distinct_names(searches)
    groups = comparable_groups(named)
    with matplotlib.rc_context(STATIC_STYLE):
        sections = [
            _section(group, out_dir, suffix if len(groups) > 1 else "", _slugs(named), by, files)
            for i, group in enumerate(groups)
            for suffix in [f"-protocol{i + 1}"]
        ]
    front = pd.concat([section["front"] for section in sections], ignore_index=True)
    (out_dir / "frontier.csv").write_text(csv_text(front), encoding="utf-8")
    page = rendered(
        "report.html.j2",
        title=" · ".join(results.name for results in named),
        sections=sections,
        protocols=len({results.protocol_hashes for results in named}),
        placed=_FIXED_FIGURES,
        plotly_js=Markup(_packed(get_plotlyjs())),  # noqa: S704 (Base64)
    )
    path = out_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _packed(script: str) -> str:
    """Gzip and Base64, which the page undoes: plotly takes 2 MB in place of 5."""
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode("ascii")


def comparable_groups(searches: Sequence[SearchResults]) -> list[list[SearchResults]]:
    """Group searches by protocol hash and objectives, in the order of each group's first search.

    Fronts of other objectives, or hypervolumes from other references, cannot be drawn together.
    """
    groups: dict[tuple[frozenset[str], tuple[Objective, ...]], list[SearchResults]] = {}
    for results in searches:
        key = results.protocol_hashes, results.aims.objectives
        groups.setdefault(key, []).append(results)
    return list(groups.values())


def _with_distinct_names(searches: Sequence[SearchResults]) -> list[SearchResults]:
    """Number the searches that share a name, so that legends tell them apart."""
    counts = Counter(results.name for results in searches)
    numbers = {name: itertools.count(1) for name in counts}
    return [
        dataclasses.replace(results, name=f"{results.name} ({next(numbers[results.name])})")
        if counts[results.name] > 1
        else results
        for results in searches
    ]


def _section(
    searches: Sequence[SearchResults],
    out_dir: Path,
    suffix: str,
    slugs: dict[str, str],
    by: str,
    files: FigureFiles,
) -> dict[str, Any]:
    """The section of the page on searches of one protocol: figures, tables and conclusions."""
    keys = {results.each for results in searches}
    by = by or (keys.pop() if len(keys) == 1 else "")
    configs = {results.name: confirmed_configs(results) for results in searches}
    gains = {name: gains_over_default(found) for name, found in configs.items()}
    everything = [config for found in configs.values() for config in found]
    searches = [with_letters(results, everything) for results in searches]
    front = front_table(searches, by)
    tables = [
        front,
        confirm_table(everything),
        attacks_table(everything),
        strongest_table(everything),
        gains_table([gain for found in gains.values() for gain in found]),
    ]
    matrices = {"matrix": untargeted_matrix(everything), "targeted": targeted_matrix(everything)}
    tables += [matrix_table(everything, m, name) for name, m in matrices.items() if m.columns]
    if by:
        tables += [values_table(searches, by), tuned_table(searches, configs, gains, by)]
    # Equal protocols mean equal data.
    names, datasets = " · ".join(configs), ", ".join(searches[0].datasets)
    protocol = ", ".join(sorted(searches[0].protocol_hashes))
    trials = [trials_table(results) for results in searches]
    return {
        "title": f"{names} on {datasets}" if datasets else names,
        # A comparison has no explore trials.
        "explored": any(len(results.explore) for results in searches) or not everything,
        "figures": _save_figures(
            overlaid_figures(searches, everything, by), out_dir, suffix, files
        ),
        "tables": {table.name: save_table(table, out_dir, suffix) for table in tables},
        "filters": filters_of(trials),
        "front": front.frame.assign(dataset=datasets, protocol_hash=protocol),
        "searches": [
            {
                "name": name,
                "headline": headline(results, found, gained),
                "warnings": warnings(results, found, gained),
                "reasons": reasons(results, found),
                "conclusions": conclusions(results, found, gained),
                "summary": save_table(summary_table(found), out_dir, slug),
                "figures": _save_figures(search_figures(results, found), out_dir, slug, files),
                "notes": notes(results, found),
                "time": save_table(time_table(results), out_dir, slug),
                "stopping": save_table(stopping_table(results), out_dir, slug),
                "trials": save_table(own_trials, out_dir, slug),
                "protocol": protocol_terms(results),
                "origin": origin_terms(results),
                "tracked": results.tracked,
                "bibtex": bibtex(results),
                "provenance": list(flattened(results.provenance)),
                "experiment": list(flattened(results.experiment)),
            }
            for results, own_trials in zip(searches, trials, strict=True)
            for name in [results.name]
            for found, gained, slug in [(configs[name], gains[name], slugs[name])]
        ],
    }


def _slugs(searches: Sequence[SearchResults]) -> dict[str, str]:
    """File name suffixes that tell the searches apart; empty if there is only one search."""
    if len(searches) == 1:
        return {searches[0].name: ""}
    plain = {r.name: re.sub(r"[^A-Za-z0-9]+", "-", r.name)[:40] for r in searches}
    return {name: f"-{i}-{text}".rstrip("-") for i, (name, text) in enumerate(plain.items(), 1)}


def _save_figures(
    figures: Mapping[str, ReportFigure], out_dir: Path, suffix: str, files: FigureFiles
) -> dict[str, View]:
    (out_dir / "figures").mkdir(exist_ok=True)
    return {name: save_figure(figure, out_dir, suffix, files) for name, figure in figures.items()}
