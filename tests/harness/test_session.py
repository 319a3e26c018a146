"""Starting, stopping on a full disk, and resuming a whole search within this process."""

import errno
import io
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from harness.__main__ import main
from harness.journal.journal import Event, Journal, read
from harness.journal.state import SearchState
from harness.options import Options
from harness.search_stopped import SearchStopped
from harness.session import session
from saat.errors import InputError
from tests.harness.tiny import tiny, tiny_raw

SEARCHED = tiny(
    {
        "pretrain.epochs": 1,
        "defense.epochs": 2,
        "search.num_samples": 1,
        "confirm.max_configs": 0,
        "evaluation.steps": 1,
    }
)
CLOCKS = ("time", "seconds", "cost_s", "stages", "search_id")


@pytest.fixture(autouse=True)
def neither_tracking_nor_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tracked is the matter of test_tracking.py, and a page takes seconds."""

    class Silent:
        def __init__(self, *_: Any) -> None: ...
        def start(self, events: list[Event]) -> None: ...
        def handle(self, event: Event) -> None: ...
        def catch_up(self, timeout: float) -> None: ...
        def close(self, timeout: float) -> str:
            return ""

    monkeypatch.setattr(session, "Tracker", Silent)
    monkeypatch.setattr("reports.html.write_report", lambda searches, folder, *_: folder)


@pytest.fixture
def options(runs_dir: Path) -> Options:
    return Options(runs_dir, executor="inline", cache_dir=os.environ["SAAT_CACHE"])


def timeless(events: list[Event]) -> list[Event]:
    return [{k: v for k, v in event.items() if k not in CLOCKS} for event in events]


def quiet(_: str) -> None:
    pass


class OnFullDisk(io.FileIO):
    """A journal's file. Half a line of an event of each of some kinds fits on its disk."""

    kinds: ClassVar[list[bytes]]
    full = False

    def write(self, line: Any) -> int:
        if self.full:
            self.full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.full = bool(self.kinds) and b'"event": "%s"' % self.kinds[0] in line
        if self.full:
            self.kinds.pop(0)
        return int(super().write(line[:40] if self.full else line))


def fill_disk(monkeypatch: pytest.MonkeyPatch, kinds: list[str]) -> None:
    """From now on the disk is full whenever an event of one of the kinds is written."""
    plain = Path.open

    def opened(path: Path, mode: str = "r", *options: Any, **more: Any) -> Any:
        return OnFullDisk(path, mode) if mode == "ab" else plain(path, mode, *options, **more)

    monkeypatch.setattr(OnFullDisk, "kinds", [kind.encode() for kind in kinds], raising=False)
    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.slow
def test_a_journal_on_a_full_disk_stops_the_search_which_is_resumed_to_the_same_end(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = session.start(SEARCHED, Options(tmp_path / "whole", None, "inline"), "search", quiet)
    kinds = ["suggested", "epoch", "completed", "recommended", "finished", "reported"]
    fill_disk(monkeypatch, kinds)
    journal = options.runs_dir.resolve() / "tiny" / "events.jsonl"
    with pytest.raises(SearchStopped) as stopped:
        session.start(SEARCHED, options, "search", quiet)
    said = [str(stopped.value)]
    for _ in kinds[1:]:
        before = journal.read_bytes()
        with pytest.raises(SearchStopped) as stopped:
            session.resume("tiny", options, quiet)
        assert journal.read_bytes().startswith(before), "an event was taken back"
        assert journal.read_bytes().endswith(b"\n"), "half a line stayed"
        said.append(str(stopped.value))
    assert set(said) == {f"no space left on the disk of {journal}"}
    session.resume("tiny", options, quiet)
    assert timeless(read(journal)) == timeless(read(whole / "events.jsonl"))
    assert SearchState(read(journal)).finished


def test_a_search_goes_on_under_the_protocol_it_began_with(options: Options) -> None:
    experiment = tiny({"pretrain.epochs": 1, "defense.epochs": 1, "name": "edited"})
    run_dir = session.start(experiment, options, "train", quiet)
    file, journal = run_dir / "experiment.yaml", run_dir / "events.jsonl"
    text, before = file.read_text(), journal.read_bytes()
    for section, key, value in (("evaluation", "steps", 9), ("confirm", "battery", "core")):
        content = yaml.safe_load(text)
        content[section][key] = value
        file.write_text(yaml.safe_dump(content))
        with pytest.raises(
            InputError, match=r"experiment\.yaml: evaluation or confirm\.battery is"
        ):
            session.resume("edited", options, quiet)
        assert journal.read_bytes() == before
    content = yaml.safe_load(text)
    content["validation"]["eps"] = 0.01
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"experiment\.yaml: validation is not what the search"):
        session.resume("edited", options, quiet)
    assert journal.read_bytes() == before
    content = yaml.safe_load(text)
    content["search"]["num_samples"] += 1  # what is asked for beyond may change
    file.write_text(yaml.safe_dump(content))
    session.resume("edited", options, quiet)


@pytest.mark.parametrize(
    ("section", "key", "default"),
    [("search", "margin", 0.02), ("search", "stop", None), (None, "confirm", None)],
)
def test_a_search_of_a_version_with_fewer_keys_is_not_resumed_under_new_defaults(
    section: str | None, key: str, default: float | None, options: Options
) -> None:
    """What decides which trials stop must not change in the middle."""
    experiment = tiny({"pretrain.epochs": 1, "defense.epochs": 1, "name": "older"})
    run_dir = session.start(experiment, options, "train", quiet)
    file, journal = run_dir / "experiment.yaml", run_dir / "events.jsonl"
    whole, before = file.read_text(), journal.read_bytes()
    content = yaml.safe_load(whole)
    (content if section is None else content[section]).pop(key)
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as refused:
        session.resume("older", options, quiet)
    name = key if section is None else f"{section}.{key}"
    assert str(refused.value).startswith(f"{file}: {name}: missing; another version")
    assert default is None or f"(here {default} is the default)" in str(refused.value)
    assert journal.read_bytes() == before
    file.write_text(whole)
    session.resume("older", options, quiet)


@pytest.mark.parametrize("broken", ["open_data", "Search"])
def test_whatever_stops_a_resumed_search_leaves_it_to_the_next_driver(
    broken: str, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny({"pretrain.epochs": 1, "defense.epochs": 1, "name": "left"})
    run_dir = session.start(experiment, options, "train", quiet)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(session, broken, refuse)
        with pytest.raises(OSError, match="error") as held:  # and with it everything on the way
            session.resume("left", options, quiet)
    Journal(run_dir).close()
    assert held.value.errno == errno.EIO


def test_an_address_for_an_inline_search_is_refused_and_the_search_left_alone(
    runs_dir: Path, options: Options, capsys: Any
) -> None:
    experiment = tiny({"pretrain.epochs": 1, "defense.epochs": 1, "name": "alone"})
    run_dir = session.start(experiment, options, "train", quiet)
    before = (run_dir / "events.jsonl").read_bytes()
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["resume", "alone", "--address", "auto", "--runs-dir", str(runs_dir)])
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert (out, err) == ("", "saat: --address auto: this search runs inline, not on a cluster\n")
    assert (run_dir / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize("gpus", ["1.5", "5/2"])
def test_more_than_one_gpu_a_trial_is_a_whole_number(
    gpus: str, tmp_path: Path, runs_dir: Path, capsys: Any
) -> None:
    file = tmp_path / "gpus.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.gpus_per_trial": gpus})))
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), "--runs-dir", str(runs_dir)])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.endswith("gpus_per_trial: a fraction up to 1, or a whole number")
    assert not runs_dir.exists()


@pytest.mark.parametrize(
    ("given", "gpus"), [(0, 0), ("1/3", 1 / 3), (0.5, 0.5), (1, 1), ("4/2", 2)]
)
def test_fractions_of_a_gpu_and_whole_ones_are_allowed(given: Any, gpus: float) -> None:
    assert tiny({"resources.gpus_per_trial": given}).resources.gpus_per_trial == gpus


@pytest.mark.parametrize(
    ("offered", "wanted", "trials"),
    [
        (8, 1, 8),
        (8, 2, 4),
        (7, 2, 3),
        (1, 2, 0),
        (0, 0.5, 0),
        (1, 0.5, 2),
        (4, 0.3, 12),  # three on each of four, not 4 / 0.3 = 13
        (2, 0.6, 2),  # one on each of two, not 2 / 0.6 = 3
        (1, 1 / 3, 3),
        (1, 1 / 93, 93),  # 1 / (1 / 93) is a little below 93
        (3, 0.1, 30),
    ],
)
def test_a_trial_never_spans_two_gpus_by_parts(offered: float, wanted: float, trials: int) -> None:
    from harness.executors.ray_slots import slots_of_node

    assert slots_of_node({"CPU": 99, "GPU": offered}, 1, wanted) == trials
