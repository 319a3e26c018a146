"""What the numbers of a report mean, and where they come from, as pairs of term and text."""

from collections.abc import Iterator, Mapping
from typing import Any

from reports.results import SearchResults
from reports.wording import MISSING, norm_note, parameter_value
from saat.wording import counted

Terms = list[tuple[str, str]]


def protocol_terms(results: SearchResults) -> Terms:
    """The evaluation protocol in words, from the experiment file."""
    evaluation, validation = (_section(results, name) for name in ("evaluation", "validation"))
    attacks = _attacks(evaluation.get("attacks"))
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
            "attack has its own, the same for every trial, whatever ε and T it was trained with. "
            "White box: network, codes and labels are known; the database stays as it is.",
        ),
        ("Precision", _precision(results)),
        ("Battery", _BATTERIES.get(str(_section(results, "confirm").get("battery")), MISSING)),
        (
            "AP",
            f"AP@{top_k}: the sum of precision at every relevant item within the top {top_k}, over "
            f"the number of relevant items within the top {top_k}. Queries without one score 0 and "
            f"stay in the mean. Ties: {ties}.",
        ),
        (
            "Validation",
            "The search sees validation queries alone. val/*: after every epoch, "
            f"{_counted(validation.get('queries'), 'query', 'queries')}, attack mainstay, "
            f"L∞ distance ε = {parameter_value('eps', validation.get('eps'))}, "
            f"{_counted(validation.get('steps'), 'step')}. reattack/*: trials that reached the "
            "end, full protocol. test/*: test queries, full protocol, only for confirmed and "
            "singly trained settings.",
        ),
        *(("Norms", note) for note in norm_note(str(evaluation.get("norm", "linf")))),
        (
            "Chance",
            "The MAP of a random order of the database. It depends on the labels alone, and a "
            "robust MAP near it means that nothing useful is retrieved. A MAP is above chance if "
            "the lower end of the 95 % interval over queries of AP minus that of a random order "
            "is more than 1 point. A trial whose clean MAP is not is on no front; one whose "
            "robust MAP is not is never recommended.",
        ),
        (
            "Theoretical floor",
            "The MAP of an attack's representative code itself, which the attack can approach and "
            "in practice rarely pass; the floor of a trial is the lowest over its attacks.",
        ),
        (
            "Intervals",
            "95 %, percentile bootstrap of the mean over training seeds and test queries, one set "
            "of queries for all drawn seeds; queries without a relevant item are drawn too. "
            "Differences: paired t-test over common seeds.",
        ),
        ("Data set", _dataset(results)),
        ("Protocol hash", ", ".join(sorted(results.protocol_hashes)) or MISSING),
    ]


def _precision(results: SearchResults) -> str:
    """In which precision trials were measured and trained, and what of them was compiled."""
    measured = _section(results, "evaluation").get("precision", "fp32")
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
    "queries; its attacks count in the worst case.",
}


def _counted(count: Any, noun: str, plural: str = "") -> str:
    return counted(count, noun, plural) if isinstance(count, int) else f"{MISSING} {noun}"


def _ball(evaluation: Mapping[str, Any]) -> str:
    norm, eps = evaluation.get("norm", "linf"), evaluation.get("eps")
    if norm == "linf":
        return f"L∞ distance ε = {parameter_value('eps', eps)}"
    return f"{str(norm).upper()} distance ε = {eps} (of the whole image, pixels in [0, 1])"


def _section(results: SearchResults, name: str) -> dict[str, Any]:
    section = results.experiment.get(name)
    return section if isinstance(section, dict) else {}


def _dataset(results: SearchResults) -> str:
    """The label of the set, which names its split, and what an unrecognised one means."""
    text = ", ".join(results.datasets) or MISSING
    if "/custom-" in text:
        text += " (lists that are no published split; the digits are of their SHA-256)"
    return text


def _attacks(names: Any) -> str:
    names = names if isinstance(names, list) else []
    shown = (str(a.get("name", a)) if isinstance(a, dict) else str(a) for a in names)
    return ", ".join(shown) or "none named"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs of dotted key and text of a nested mapping."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", MISSING if value is None else str(value)
