"""The log of a chaos run as a page."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.runner import Outcome

_HEAD = """# Chaos

Written by `make chaos`. Every line is a fault that really struck a small search (digits of 16
pixels): processes killed with SIGKILL, disks filled, files damaged, networks cut. The seed draws
kinds, moments and details: `python -m tests.chaos --only WHERE:SEED`. A search that stopped was
resumed until it ended. *Before*: epochs and trials that were finished when the fault struck
(journaled or durable). *Lost*: how many of them were not there, or were others, at the end.
*Next event*: seconds until the search told of something again, the start of a driver and what the
machine was busy with included.

"""
_COLUMNS = ("where", "seed", "fault", "moment", "before", "lost", "next event (s)")


def page(outcomes: Sequence[Outcome]) -> str:
    """Totals, then a line a fault, then what went wrong."""
    strikes = [strike for outcome in outcomes for strike in outcome.strikes]
    kinds = Counter(strike.kind for strike in strikes)
    epochs, trials = (sum(getattr(s, name)[1] for s in strikes) for name in ("epochs", "trials"))
    broken = [
        f"{outcome.scenario.where}:{outcome.scenario.seed}: {problem}"
        for outcome in outcomes
        for problem in outcome.problems
    ]
    verdict = (
        f"{len(broken)} promises broken, see below."
        if broken
        else "None was counted twice; journal, `trials.parquet`, `epochs.parquet`, MLflow and the "
        "front of the report agreed row for row; trials that an undisturbed search has too had its "
        "very numbers; nothing was left running; every search ended."
    )
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    lines = [
        f"**{len(strikes)} faults of {len(kinds)} kinds in {len(outcomes)} searches, "
        f"{minutes:.0f} minutes: {epochs} epochs and {trials} trials lost.** {verdict}",
        "",
        "| kind | times |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in sorted(kinds.items())),
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    lines += [
        f"| {s.where} | {s.seed} | {s.kind} | {s.moment} | {_count(s.epochs[0], s.trials[0])} "
        f"| {_count(s.epochs[1], s.trials[1])} | {s.seconds:.1f} |"
        for s in strikes
    ]
    if broken:
        lines += ["", "Broken:", "", *(f"- {line}" for line in broken)]
    return _HEAD + "\n".join(lines) + "\n"


def _count(epochs: int, trials: int) -> str:
    return f"{epochs} epochs, {trials} trials" if epochs or trials else "0"
