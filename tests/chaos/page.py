"""The log of a chaos run as a page."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.runner import Outcome

_HEAD = """# Chaos

`make chaos` writes this page. Every line of the log is a real fault that struck a small search on
digits of 16 pixels. A search that stopped was resumed until it ended.

- **Faults**: processes killed with SIGKILL, disks filled, files damaged, networks cut.
- **Seed**: draws kinds, moments and details. `python -m tests.chaos --only WHERE:SEED` repeats one.
- **Before**: epochs and trials that were finished (journaled or durable) when the fault struck.
- **Lost**: how many of them were missing or different at the end.
- **Next event**: seconds until the search reported an event again. They include the start of a
  driver and the waiting for a busy machine.

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
        else "No epoch or trial was counted twice. Journal, `trials.parquet`, `epochs.parquet`, "
        "MLflow and the front of the report agreed row for row. Trials that an undisturbed search "
        "has too had exactly its numbers. No process was left running, and every search ended."
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
