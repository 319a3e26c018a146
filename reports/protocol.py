"""Explain the numbers of a report and their origin, as pairs of term and text."""

from collections.abc import Iterator, Mapping
from typing import Any

from reports.results import SearchResults
from reports.wording import MISSING, norm_note, parameter_value
from saat.wording import counted

Terms = list[tuple[str, str]]  # a term and what it is


def protocol_terms(results: SearchResults) -> Terms:
    """The evaluation protocol in words, from the experiment file."""
    evaluation, validation = map(results.section, ("evaluation", "validation"))
    named = evaluation.get("attacks") or ["none named"]
    attacks = ", ".join(str(a.get("name", a)) if isinstance(a, dict) else str(a) for a in named)
    top_k = evaluation.get("top_k", MISSING)
    ties = {
        "expected": "the expected AP over all orders of items at equal distance",
        "stable": "items at equal distance stay in the order of the database",
    }.get(str(evaluation.get("ties")), str(evaluation.get("ties", MISSING)))
    return [
        (
            "Robust MAP",
            "The worst case for every query: the minimum AP over the clean image and all attacks "
            f"({attacks}), then the mean over queries. It is an upper bound: an attack that is "
            "not in the list can be stronger.",
        ),
        (
            "Attacker",
            f"{_ball(evaluation)}, T = {_counted(evaluation.get('steps'), 'step')} unless an "
            "attack has its own. They are the same for every trial, whatever it was trained "
            "with. White box: network, codes and labels are known. The database is not attacked.",
        ),
        ("Precision", _precision(results)),
        ("Battery", _BATTERIES.get(str(results.section("confirm").get("battery")), MISSING)),
        (
            "AP",
            f"AP@{top_k}: the sum of precision at every relevant item within the top {top_k}, over "
            f"the number of relevant items within the top {top_k}. Queries without one score 0 and "
            f"stay in the mean. Ties: {ties}.",
        ),
        (
            "Validation",
            f"The search sees validation queries alone. val/*: {_epochs(validation)}, "
            f"{_counted(validation.get('queries'), 'query', 'queries')}, attack mainstay, "
            f"L∞ distance ε = {parameter_value('eps', validation.get('eps'))}, "
            f"{_counted(validation.get('steps'), 'step')}; {_searched(results)}. reattack/*: "
            "trials that reached the end, full protocol. test/*: test queries, full protocol, "
            "only for confirmed and singly trained settings.",
        ),
        *(("Norms", note) for note in norm_note(str(evaluation.get("norm", "linf")))),
        (
            "Chance",
            "The MAP of a random order of the database. It depends on the labels alone, and a "
            "robust MAP near it means that nothing useful is retrieved. A MAP is above chance if "
            "the lower end of the 95 % interval over queries of AP minus that of a random order "
            "is more than 1 point. Without a clean MAP above chance, a trial is on no front. "
            "Without a robust MAP above chance, it is never recommended.",
        ),
        (
            "Theoretical floor",
            "The MAP of the representative code that an attack aims for. The attack can approach "
            "it, and rarely goes below it. The floor of a trial is the lowest over its attacks.",
        ),
        (
            "Intervals",
            "95 %, percentile bootstrap of the mean over training seeds and test queries. Each "
            "resample has one set of queries for all its seeds, and may have queries without a "
            "relevant item. Differences: paired t-test over common seeds.",
        ),
        ("Data set", _dataset(results)),
        ("Protocol hash", ", ".join(sorted(results.protocol_hashes)) or MISSING),
    ]


def _precision(results: SearchResults) -> str:
    """In which precision trials were measured and trained, and what of them was compiled."""
    measured = results.section("evaluation").get("precision", "fp32")
    text = f"Clean and robust MAP are measured in {measured}"
    for column, verb in (("precision", "trained in"), ("compile", "compiled by")):
        values = results.trials[column]  # empty in runs of earlier versions
        counts = values[~values.isin(("", "none"))].value_counts()
        named = ", ".join(f"{name} ({counted(int(n), 'trial')})" for name, n in counts.items())
        text += f"; {verb} {named}" if named else ""
    return f"{text}. Training in another precision gives other models, not other measurements."


_BATTERIES = {
    "none": "Not run: nothing was checked for hidden gradients, so read robust numbers with care.",
    "core": "core: APGD on two objectives, Square and noise as controls, and reliability gates at "
    "reduced size, on test queries; its attacks count in the worst case.",
    "full": "full: every objective and optimiser, Square, and all reliability gates, on test "
    "queries; its attacks count in the worst case. From version 2 on, attacks that do not lower "
    "the worst case of a sample of the queries are run on that sample alone.",
    "exhaustive": "exhaustive: every objective and optimiser on every query, HAG and SDHA with "
    "their published iterations, Square, and all reliability gates, on test queries; its attacks "
    "count in the worst case.",
}


def _epochs(validation: Mapping[str, Any]) -> str:
    every = validation.get("every", 1)
    if every == 1:
        return "after every epoch"
    return f"after every {every} epochs, at rungs and at the end"


def _searched(results: SearchResults) -> str:
    """What validation queries search; earlier versions, which wrote nothing of it, all rows."""
    found = results.provenance.get("validation")
    if not isinstance(found, dict):
        return "they search the whole database"
    rows, part = (found.get(key) for key in ("database", "searched"))
    if rows == part:
        return "they search the whole database without themselves"
    return (
        f"they search the same {part} of {rows} rows of the database, to the same share of the "
        f"ranking (top {found.get('top_k')}), so val/* and reattack/* differ by the part too"
    )


def _counted(count: Any, noun: str, plural: str = "") -> str:
    return counted(count, noun, plural) if isinstance(count, int) else f"{MISSING} {noun}"


def _ball(evaluation: Mapping[str, Any]) -> str:
    norm, eps = evaluation.get("norm", "linf"), evaluation.get("eps")
    if norm == "linf":
        return f"L∞ distance ε = {parameter_value('eps', eps)}"
    return f"{str(norm).upper()} distance ε = {eps} (of the whole image, pixels in [0, 1])"


def _dataset(results: SearchResults) -> str:
    """The label of the data set, which names its split; an unknown split is explained."""
    text = ", ".join(results.datasets) or MISSING
    if "/custom-" in text:
        text += " (not a published split; the digits are from the SHA-256 of its lists)"
    return text


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of dotted key and text of a nested mapping."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", MISSING if value is None else str(value)
