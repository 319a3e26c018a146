"""Fifty damaged folders of one finished search: every command tells the truth, or one line.

Numbers are those of the undamaged run or said to be missing; nothing ends in a traceback, waits
for ever, or writes outside the run's folder.
"""

import contextlib
import io
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from harness.__main__ import main
from harness.experiment.config import RESERVED_NAMES
from harness.journal.journal import line_of, read
from harness.options import Options
from harness.session import session
from reports import html
from reports.figures import (
    ablation,
    ap_per_query,
    attainment,
    coordinates,
    dependence,
    early_stopping,
    examples,
    learning_curves,
    parameters,
    precision_recall,
    strengths,
    timeline,
)
from reports.strengths import strength_curves
from tests.harness.tiny import tiny

pytestmark = [pytest.mark.lengthy, pytest.mark.timeout(120)]

EXPERIMENT = tiny(
    {
        "pretrain.epochs": 1,
        "defense.epochs": 1,
        "search.sampler": "random",
        "search.num_samples": 1,
        "confirm.undefended": False,
        "evaluation.steps": 1,
    }
)
COMMANDS = ("status", "list", "verify", "resume", "sync", "report")
TABLES = ("trials.parquet", "epochs.parquet")
DERIVED = (*TABLES, "explanation.json")
Damage = Callable[[Path, random.Random], None]


# --- ways to damage a run; {} in a name is the trial that kept most files


def place(run_dir: Path, name: str) -> Path:
    confirmed = next(path.name for path in (run_dir / "trials").glob("*-confirm-*"))
    return run_dir / name.replace("{}", f"trials/{confirmed}")


def flipped(name: str) -> Damage:
    """One bit is another one."""

    def damage(run_dir: Path, draw: random.Random) -> None:
        path = place(run_dir, name)
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)

    return damage


def truncated(name: str) -> Damage:
    """The rest of the file is gone."""

    def damage(run_dir: Path, draw: random.Random) -> None:
        path = place(run_dir, name)
        path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])

    return damage


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def gone(name: str) -> Damage:
    return lambda run_dir, _: removed(place(run_dir, name))


def folder(name: str) -> Damage:
    """A folder stands where a file was."""

    def damage(run_dir: Path, _: random.Random) -> None:
        path = place(run_dir, name)
        removed(path)
        path.mkdir()

    return damage


def link(name: str, target: str) -> Damage:
    """A link to what lies outside the run, or nowhere."""

    def damage(run_dir: Path, _: random.Random) -> None:
        path = place(run_dir, name)
        removed(path)
        path.symlink_to(run_dir.parents[1] / "outside" / target)

    return damage


def pipe(name: str) -> Damage:
    """Whoever opens it waits for ever."""

    def damage(run_dir: Path, _: random.Random) -> None:
        path = place(run_dir, name)
        removed(path)
        os.mkfifo(path)

    return damage


def content(name: str, text: bytes) -> Damage:
    """Something else stands in the file."""

    def damage(run_dir: Path, _: random.Random) -> None:
        path = place(run_dir, name)
        removed(path)
        path.write_bytes(text)

    return damage


def told(kind: str, *keys: str, value: Any) -> Damage:
    """The first event of a kind says something else, and its checksum is right."""

    def damage(run_dir: Path, _: random.Random) -> None:
        path = run_dir / "events.jsonl"
        events = read(path)
        where: Any = next(event for event in events if event["event"] == kind)
        for key in keys[:-1]:
            where = where[key]
        where[keys[-1]] = value
        path.write_bytes(b"".join(map(line_of, events)))

    return damage


NESTED = b"[" * 30 + b"]" * 30
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
TRIAL_FILES = ("result.json", "per_query.parquet", "adversarial.npz", "model.safetensors")
DAMAGES: dict[str, Damage] = {
    **{f"flipped events {n}": flipped("events.jsonl") for n in range(6)},
    **{
        f"flipped {name}": flipped(name)
        for name in (
            *DERIVED,
            "provenance.json",
            "tracked.json",
            "{}/histograms.npz",
            "{}/examples.npz",
            *(f"{{}}/{name}" for name in TRIAL_FILES),
        )
    },
    **{
        f"truncated {name}": truncated(name)
        for name in (
            *DERIVED,
            "events.jsonl",
            "experiment.yaml",
            "provenance.json",
            "{}/histograms.npz",
            *(f"{{}}/{name}" for name in TRIAL_FILES),
        )
    },
    **{
        f"folder {name}": folder(name)
        for name in ("events.jsonl", "experiment.yaml", "provenance.json", "tracked.json", *DERIVED)
    },
    **{f"folder {{}}/{name}": folder(f"{{}}/{name}") for name in TRIAL_FILES},
    "dangling events": link("events.jsonl", "nothing"),
    "linked experiment": link("experiment.yaml", "secret"),
    "linked trials": link("trials", ""),
    "linked report": link("report", ""),
    "linked lock": link(".driver.lock", "secret"),
    "linked images": link("{}/adversarial.npz", "secret"),
    "pipe for events": pipe("events.jsonl"),
    "pipe for provenance": pipe("provenance.json"),
    "gone events": gone("events.jsonl"),
    "gone experiment": gone("experiment.yaml"),
    "gone trials": gone("trials"),
    "gone per query": gone("{}/per_query.parquet"),
    "nested provenance": content("provenance.json", b'{"a": ' + NESTED + b"}"),
    "nested result": content("{}/result.json", b'{"metrics": ' + NESTED + b"}"),
    "deep provenance": content("provenance.json", DEEP),
    "deep experiment": content("experiment.yaml", NESTED),
    "deep cursor": content("tracked.json", DEEP),
    "deep links": content("tracked_runs.json", DEEP),
    "folder of links": folder("tracked_runs.json"),
    "linked links": link("tracked_runs.json", "secret"),
    "links that are a list": content("tracked_runs.json", b"[]"),
    "odd lease": content("{}/.lease/x\N{RIGHT-TO-LEFT OVERRIDE}.lock", b""),
    "metrics are text": told("epoch", "metrics", value=""),
    "a metric is a list": told("epoch", "metrics", "val/clean_map", value=[1, [2]]),
    "an infinite point": told("suggested", "point", "defense.lambda", value=float("inf")),
    "an impossible floor": told("completed", "metrics", "reattack/floor_map", value=1.5),
    "an id that leads out": told("suggested", "trial", "trial_id", value="../../../outside/x"),
    "an id with a null byte": told("epoch", "trial_id", value="0123456789-explore-0\0"),
    "another's server": told("started", "tracking_uri", value="http://127.0.0.1:1"),
    "another's data base": told("started", "tracking_uri", value="sqlite:////tmp/x.db"),
}


# --- what must hold


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Runs(NamedTuple):
    """A folder of runs with one search in it, a copy of the search, and what is true of it."""

    folder: Path
    whole: Path
    told: Any
    tables: dict[str, pd.DataFrame]


SECTION = ("frontier", "coordinates", "confirmed", "hypervolume")
SEARCH = ("ablation", "dependence", "seeds", "strengths", "learning_curves", "early_stopping",
          "timeline", "stages", "parameters",
          "precision_recall", "precision_at", "ap_per_query", "examples")  # fmt: skip


def without_drawing(patch: pytest.MonkeyPatch) -> None:
    """Everything that a report reads and computes, without the seconds of drawing it."""

    def computed(results: Any, settings: Any) -> dict[str, Any]:
        ablation.ablation_chart(results)
        dependence.dependence_chart(results)
        attainment.seeds_chart(settings)
        strengths.strengths_chart(results, settings, strength_curves(results, settings))
        coordinates.coordinates_chart([results])
        learning_curves.learning_curves_chart(results)
        early_stopping.early_stopping_chart(results)
        timeline.timeline_chart(results)
        timeline.stages_chart(results)
        parameters.parameters_chart(results)
        precision_recall.precision_recall_curves(results, settings)
        precision_recall.precision_at_chart(results, settings)
        ap_per_query.ap_per_query_chart(settings)
        examples.examples_data(results, settings)
        return dict.fromkeys(SEARCH)

    nothing: dict[str, Any] = {"plots": []}
    patch.setattr(html, "search_figures", computed)
    patch.setattr(html, "overlaid_figures", lambda *_: dict.fromkeys(SECTION))
    patch.setattr(html, "save_figure", lambda *_: nothing)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    root = tmp_path_factory.mktemp("damaged")
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_text("secret: of somebody else\n")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        without_drawing(patch)
        options = Options(root / "runs", executor="inline", cache_dir=os.environ["SAAT_CACHE"])
        run_dir = session.start(EXPERIMENT, options, "search", lambda _: None)
        whole = shutil.copytree(run_dir, root / "whole")
        status = json.loads(called(root / "runs", "status", "tiny", "--json").out)
        yield Runs(root / "runs", whole, status, {n: pd.read_parquet(run_dir / n) for n in TABLES})
    signal.signal(signal.SIGTERM, before)


def called(runs_dir: Path, *arguments: str) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([*arguments, "--runs-dir", str(runs_dir)])
    status = ended.value.code
    assert isinstance(status, int)
    return Ended(status, out.getvalue(), err.getvalue())


def outside(runs: Runs) -> dict[str, bytes]:
    """Everything that is not of the run; the embedded store is told what the run says."""
    root, own = runs.folder.parent, runs.folder / "tiny"
    return {
        str(path): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and own not in path.parents and "ml" not in path.name[:3]
        if "mlartifacts" not in path.parts and runs.whole not in path.parents
    }


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_told_or_refused(name: str, runs: Runs) -> None:
    run_dir = runs.folder / "tiny"
    shutil.rmtree(run_dir)
    shutil.copytree(runs.whole, run_dir)
    DAMAGES[name](run_dir, random.Random(f"22 {name}"))
    before = outside(runs)
    for command in COMMANDS:
        arguments = ["status", "tiny", "--json"] if command == "status" else [command, "tiny"]
        ended = called(runs.folder, *(["list", "searches"] if command == "list" else arguments))
        what = f"{command}: {ended}"
        assert ended.status in (0, 1, 2), what
        assert "Traceback" not in ended.out + ended.err, what
        if ended.status:
            last = ended.err.strip().splitlines()[-1]
            assert last.startswith("saat: "), what
            assert len(last) < 520, what
        elif command == "status":
            found = json.loads(ended.out)
            assert found["state"] == "unfinished" or same(found, runs.told), what
        elif command == "report":
            for table, whole in runs.tables.items():
                assert_same_numbers(pd.read_parquet(run_dir / table), whole)
    assert outside(runs) == before


def assert_same_numbers(found: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Of a trial that was taken up again only the time of its end is another one."""
    clock = ["finished_at"] if "finished_at" in whole else []
    pd.testing.assert_frame_equal(found.drop(columns=clock), whole.drop(columns=clock))


def same(found: Any, whole: Any) -> bool:
    return json.dumps(found, sort_keys=True) == json.dumps(whole, sort_keys=True)


def test_the_run_itself_passes_every_command(runs: Runs) -> None:
    run_dir = runs.folder / "tiny"
    shutil.rmtree(run_dir)
    shutil.copytree(runs.whole, run_dir)
    for command in COMMANDS:
        arguments = ["list", "searches"] if command == "list" else [command, "tiny"]
        assert called(runs.folder, *arguments).status == 0, command


def test_what_lies_beside_a_run_is_reserved(runs: Runs) -> None:
    beside = {path.name for path in runs.folder.iterdir() if not path.name.startswith(".")}
    assert beside - {"tiny"} == set(RESERVED_NAMES)


def test_a_report_shows_no_protocol_that_the_numbers_are_not_of(runs: Runs) -> None:
    run_dir = runs.folder / "tiny"
    shutil.rmtree(run_dir)
    shutil.copytree(runs.whole, run_dir)
    path = run_dir / "experiment.yaml"
    text = path.read_text()
    path.write_text(text.replace("  top_k: 100\n", "  top_k: 101\n"))
    assert path.read_text() != text
    ended = called(runs.folder, "report", "tiny")
    assert ended.status == 2
    assert "evaluation or confirm.battery is not what the search began with" in ended.err


def test_there_are_fifty_of_them() -> None:
    assert len(DAMAGES) >= 50
