"""``make chaos``: faults by a fixed list of seeds, and what became of each as a page."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.draw import Where, draw
from tests.chaos.page import page
from tests.chaos.runner import run, unavailable, undisturbed

# Where: up to which seed, and how many kinds of faults strike each search.
PLAN: dict[Where, tuple[int, int]] = {"inline": (10, 5), "ray": (6, 4), "cluster": (3, 3)}
SEARCHES = [
    (where, seed, count)
    for seed in range(1, 11)
    for where, (last, count) in PLAN.items()
    if seed <= last
]


def main() -> None:
    """Run everything; status 1 if any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    parser.add_argument("--only", help="one search, as inline:3")
    parser.add_argument("--keep", type=Path, help="folder for the searches, which stays")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what it started
    with tempfile.TemporaryDirectory(prefix="saat-chaos-") as name:
        folder = arguments.keep or Path(name)
        reference = undisturbed(folder / "undisturbed")
        outcomes = []
        for where, seed, count in SEARCHES:
            label = f"{where}:{seed}"
            if arguments.only not in (None, label):
                continue
            reason = unavailable(where)
            if reason:
                print(f"{label}: left out, {reason}", flush=True)
                continue
            outcome = run(draw(seed, where, count), folder / f"{where}-{seed}", reference)
            outcomes.append(outcome)
            for strike in outcome.strikes:
                print(f"{label}: {strike.kind}, {strike.moment}", flush=True)
            for problem in outcome.problems:
                print(f"{label}: BROKEN: {problem}", flush=True)
            print(f"{label}: {outcome.seconds:.0f} s", flush=True)
            if arguments.page:  # as far as it is: the next search may take the machine with it
                arguments.page.write_text(page(outcomes), encoding="utf-8")
    sys.exit(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    main()
