"""Descriptions of runs in Markdown: the result first, then where to look further."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from statistics import fmean

from harness.experiment.config import Experiment
from harness.experiment.configs import headline_metrics
from harness.journal.state import SearchState, TrialRecord, summary
from harness.search.recommendation import explored_hypervolume, front_of
from harness.tracking.run_names import run_name, setting_text
from harness.tracking.tracked_values import end_metrics, warned
from reports.objectives import label_of, value_phrase, value_text
from saat.metrics import Phase, final_metrics
from saat.wording import counted

Link = Callable[[str], str]  # a trial's id, or "search" → address of its run
_ROWS = 20  # of a table
_MEASURED = {
    Phase.TEST: "on test queries under the full attack",
    Phase.REATTACK: "on validation queries under the full attack",
}


def trial_note(experiment: Experiment, record: TrialRecord, links: Mapping[str, str]) -> str:
    """What came out of a trial that has ended; ``links`` are texts with addresses."""
    found = end_metrics(record)
    shown = [value_phrase(n, found[n]) for n in headline_metrics(experiment) if n in found]
    if shown:
        phase = Phase.TEST if Phase.TEST.of(record.metrics) else Phase.REATTACK
        lines = [f"**{', '.join(shown)}** {_MEASURED[phase]}."]
    else:
        reason = f": {record.stop_reason}" if record.stop_reason else ""
        lines = [f"**{record.status.capitalize()} in epoch {len(record.epochs)}**{reason}."]
    lines += [f"- ⚠ {text}" for text in (*record.unreliable, *warned(found))]
    return _paragraphs(*lines, _linked(links))


def search_note(
    experiment: Experiment, state: SearchState, letters: Mapping[str, str], link: Link,
    links: Mapping[str, str],
) -> str:  # fmt: skip
    """How far a search is, its tested settings and its front, with a link to each run."""
    tested = _tested(state)
    return _paragraphs(
        _result(experiment, tested, letters),
        f"{summary(state)}{'' if state.finished else ', running'}.",
        _linked(links),
        _tested_table(experiment, tested, letters, link),
        _front_table(experiment, state, link),
    )


def _tested(state: SearchState) -> list[list[TrialRecord]]:
    """Completed trials of each tested setting; recommended settings first."""
    settings: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in state.of_phase("confirm", "train"):
        if record.status == "completed":
            settings.setdefault((record.spec.role, record.config_hash), []).append(record)
    first = [s for (role, _), s in settings.items() if role == "recommended"]
    return first + [s for (role, _), s in settings.items() if role != "recommended"]


def _result(
    experiment: Experiment, tested: Sequence[Sequence[TrialRecord]], letters: Mapping[str, str]
) -> str:
    """A line on the first recommended setting and the default of the same code length."""
    if not tested or tested[0][0].spec.role != "recommended":
        return ""
    best = tested[0]
    bits, setting = best[0].config.model.bits, setting_text(experiment, best[0])
    line = f"**{_words(best, letters)}, {setting}: {_means(experiment, best)}**"
    for other in tested:
        if other[0].spec.role == "default" and other[0].config.model.bits == bits:
            line += f"; paper's default: {_means(experiment, other)}"
    return f"{line}; {counted(len(best), 'seed')}, test queries."


def _words(records: Sequence[TrialRecord], letters: Mapping[str, str]) -> str:
    letter = letters.get(records[0].config_hash, "")
    return " ".join(filter(None, (records[0].spec.role, letter)))


def _means(experiment: Experiment, records: Sequence[TrialRecord]) -> str:
    names = headline_metrics(experiment)
    return ", ".join(map(value_phrase, names, _mean_values(names, records)))


def _mean_values(names: Sequence[str], records: Sequence[TrialRecord]) -> list[float]:
    """Means over seeds; NaN where some seed was not measured."""
    found = [final_metrics(record.metrics) for record in records]
    return [fmean(metrics.get(name, nan) for metrics in found) for name in names]


def _tested_table(
    experiment: Experiment,
    tested: Iterable[Sequence[TrialRecord]],
    letters: Mapping[str, str],
    link: Link,
) -> str:
    """A row for each tested setting, with means over its seeds."""
    names, rows = headline_metrics(experiment), []
    for records in tested:
        means = map(value_text, names, _mean_values(names, records))
        runs = ", ".join(f"[{r.spec.seed}]({link(r.spec.trial_id)})" for r in records)
        rows.append([_words(records, letters), setting_text(experiment, records[0]), *means, runs])
    head = ["role", "setting", *map(label_of, names), "seeds"]
    return _table("Tested settings, means over seeds", head, rows)


def _front_table(experiment: Experiment, state: SearchState, link: Link) -> str:
    """A row for each explored setting of the front, best in the last objective first."""
    aims, names = experiment.aims, experiment.aims.names
    rows = [
        [
            f"[{run_name(experiment, record)}]({link(record.spec.trial_id)})",
            *map(value_text, names, aims.values(record.metrics)),
        ]
        for record in front_of(aims, state, by=-1)
    ]
    size = f"{counted(len(rows), 'setting')}, hypervolume {explored_hypervolume(aims, state):.4f}"
    title = f"Front of the search, {size}, on validation queries"
    return _table(title, ["setting", *map(label_of, names)], rows[:_ROWS])


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    cells = [head, ["---"] * len(head), *rows]
    return f"{title}:\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _linked(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{text}]({address})" for text, address in links.items())


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))
