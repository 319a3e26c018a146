"""What a terminal shows of a running search, at two sizes, and how its time left is estimated."""

import io
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness.journal.state import TrialRecord
from harness.search.search import Pause, Search
from harness.session.progress import Progress
from harness.session.time_left import EQUAL, Kind, time_left, work_of
from saat.wording import duration
from tests.harness.fakes import STARTED, due_epochs, experiment, fake_trial, open_search, step

SIZES = [(80, 24), (120, 40)]


def driven(run_dir: Path, reports: int, at_once: int = 4, **changes: Any) -> Search:
    """A search after so many reports of trials that take turns."""
    settings = {"search__num_samples": 14, **changes}
    search = open_search(run_dir, experiment(name="demo", **settings), at_once)
    live: dict[str, Any] = {}
    for _ in range(reports):
        while not isinstance(spec := search.next_trial(), Pause):
            live[spec.trial_id] = fake_trial(spec, (9.0, 10.0), due_epochs(search, spec))
        if spec is Pause.DONE:
            break
        trial_id = next(iter(live))
        reported = live.pop(trial_id)
        if not step(search, trial_id, reported):
            live[trial_id] = reported
    return search


def shown(search: Search, width: int, height: int, **doing: str) -> list[str]:
    """The lines of the live view in a terminal of that size."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    progress = Progress(search, console)
    for trial_id, text in doing.items():
        progress.status(trial_id, text)
    console.print(progress.view())
    search.journal.close()
    return out.getvalue().splitlines()


def numbers(record: TrialRecord) -> str:
    """A pattern of the epoch, clean and robust MAP of a trial, in this order."""
    values = [record.metrics.get(f"val/{name}_map") for name in ("clean", "robust")]
    texts = ["-" if value is None else re.escape(f"{100 * value:.1f}") for value in values]
    return r"\s+".join([f" {len(record.epochs)}/{record.config.epochs}", *texts]) + r"(?=\s|$)"


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("reports", [0, 1, 9, 30, 60, 80, 1000])
def test_the_live_view_has_the_numbers_of_every_running_trial(
    tmp_path: Path, width: int, height: int, reports: int
) -> None:
    search = driven(tmp_path, reports)
    lines = shown(search, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for record in search.state.running():
        (line,) = [x for x in lines[2:] if x.startswith(record.spec.trial_id[:6]) and
                   (f"-{record.spec.seed} " in x or record.spec.phase == "explore")]  # fmt: skip
        assert re.search(numbers(record), line), line
        assert f"λ{record.config.flat()['defense.lambda']:.3g}" in line
    done = len(search.state.ended())
    assert lines[0].startswith(f"demo: {'exploring' if reports < 50 else 'confirming'}, {done} of")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_running_trials_that_do_not_fit_stand_side_by_side(
    tmp_path: Path, width: int, height: int
) -> None:
    search = driven(tmp_path, 60, at_once=40, search__num_samples=60)
    lines = shown(search, width, height)
    assert len(search.state.running()) >= 30
    assert len(lines) <= height
    text = "\n".join(lines)
    for record in search.state.running():
        (cell,) = re.findall(rf"{record.spec.trial_id[:6]}.{{19}}", text)
        assert re.search(numbers(record), cell + " "), cell


def test_the_first_view_says_what_is_coming(tmp_path: Path) -> None:
    search = driven(tmp_path, 0)
    lines = shown(search, 80, 24)
    assert lines[0] == "demo: exploring, 0 of about 24 trials, 0 s so far"
    assert lines[1].endswith(" 0% estimating the time left")
    assert "the next trials are starting" in "".join(lines)


def test_the_view_has_front_and_what_was_stopped_and_why(tmp_path: Path) -> None:
    search = driven(tmp_path, 60)
    lines = shown(search, 80, 24)
    (front,) = [i for i, line in enumerate(lines) if line.startswith("front so far: ")]
    assert re.search(r"\d settings, hypervolume 0\.\d{4}", lines[front])
    stopped = [r for r in search.state.ended() if r.status == "stopped"]
    reasons = {r.stop_reason for r in stopped}
    assert reasons
    for reason in reasons:
        count = sum(r.stop_reason == reason for r in stopped)
        assert f"  {count} stopped: {reason}" in [line.rstrip() for line in lines]
    assert re.search(r"\d+% \d:\d\d:\d\d left \(\d:\d\d:\d\d to \d:\d\d:\d\d\)", lines[1])


def test_the_view_says_what_a_trial_is_doing(tmp_path: Path) -> None:
    search = driven(tmp_path, 9)
    first = search.state.running()[0].spec.trial_id
    lines = shown(search, 80, 24, **{first: "saat epoch 4/8 7/120"})
    assert any(line.rstrip().endswith(" saat 4/8 7/120") for line in lines)


def test_markup_and_control_characters_of_names_are_text(tmp_path: Path) -> None:
    search = driven(tmp_path, 9)
    first = search.state.running()[0].spec.trial_id
    lines = shown(search, 80, 24, **{first: "[red]\x1b[2J"})
    assert any(line.rstrip().endswith("[red]\\x1b[2J") for line in lines)


def test_a_view_that_fails_ends_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.session.progress.front_of", lambda *_: 1 / 0)
    search = driven(tmp_path, 9)
    assert "the live view failed: ZeroDivisionError" in shown(search, 80, 24)[0]


@pytest.mark.parametrize("stopped", [False, True])
def test_what_an_interrupted_search_was_doing_stays_on_the_terminal(
    tmp_path: Path, stopped: bool
) -> None:
    search, out = driven(tmp_path, 9), io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, color_system=None)
    with suppress(KeyboardInterrupt), Progress(search, console):
        if stopped:
            raise KeyboardInterrupt
    search.journal.close()
    last = out.getvalue().rpartition("demo: exploring")[2]
    erased = "\x1b[2K" in last
    assert erased != stopped
    assert last.endswith("\x1b[?25h") == stopped, "the cursor is shown again, below the view"
    if stopped:
        assert "front so far" in last or "running" in last


def test_a_control_key_wraps_no_line_of_the_view(tmp_path: Path) -> None:
    search = driven(tmp_path, 60)
    for width in (60, 80, 200):
        assert max(len(line.rstrip()) for line in shown(search, width, 24)) <= width - len("^C")


def test_a_log_names_the_time_left_as_people_read_it(tmp_path: Path) -> None:
    search = driven(tmp_path, 60)
    log = io.StringIO()
    progress = Progress(search, Console(file=log, width=80))
    for event in search.journal.events:
        progress.handle(event)
    search.journal.close()
    text = log.getvalue()
    assert "\x1b" not in text
    assert re.search(r"trials, about \d+ s left \(\d+ s to \d+ s\)\]", text)
    assert re.search(r"starts \(sampled\) .*λ=\S+ .*ε=[\d.]+/255", text)


def test_equal_trials_take_as_long_as_those_before() -> None:
    done: list[tuple[Kind, float]] = [("sampled", 100.0)] * 30
    found = time_left(done, [("sampled", 1.0)] * 8, EQUAL, 1)
    assert found is not None
    assert found.seconds == pytest.approx(800)
    assert found.low < 800 < found.high < 1.2 * 800
    four = time_left(done, [("sampled", 1.0)] * 8, EQUAL, 4)
    assert four is not None
    assert four.seconds == pytest.approx(200)


def test_kinds_that_have_not_begun_take_their_share_of_the_work() -> None:
    work = {"default": 2.0, "sampled": 1.0, "confirm": 5.0}
    found = time_left([("default", 60.0)], [("sampled", 1.0), ("confirm", 0.5)], work, 4)
    assert found is not None
    assert found.seconds == pytest.approx(30 + 75)  # confirmations wait for exploring


@pytest.mark.parametrize("ended", [3, 12])
def test_the_interval_holds_the_truth_about_eight_times_in_ten(ended: int) -> None:
    draw, inside = np.random.default_rng(0), 0
    for _ in range(400):
        seconds = draw.lognormal(5, 0.4, size=ended + 20)
        done: list[tuple[Kind, float]] = [("sampled", float(s)) for s in seconds[:ended]]
        found = time_left(done, [("sampled", 1.0)] * 20, EQUAL, 1)
        assert found is not None
        inside += found.low <= seconds[ended:].sum() <= found.high
    assert 0.72 <= inside / 400 <= 0.93


def test_nothing_is_estimated_from_nothing() -> None:
    assert time_left([], [("sampled", 1.0)], EQUAL, 1) is None
    assert time_left([], [], EQUAL, 1) == (0, 0, 0)
    assert work_of(STARTED) == EQUAL


def test_a_first_estimate_comes_from_the_epochs_of_running_trials(tmp_path: Path) -> None:
    search = driven(tmp_path, 5, at_once=4)
    assert not search.state.ended() or search.state.running()
    assert "left (" in shown(search, 80, 24)[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (45.2, "45 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"),
        (3599.6, "1 h 00 min"), (7800, "2 h 10 min"), (47.9 * 3600, "47 h 54 min"),
        (172_799, "2 d 00 h"), (76 * 3600, "3 d 04 h"),
    ],
)  # fmt: skip
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
