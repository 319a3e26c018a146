"""What all commands share: help lines, the version, completion, the options of a run."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
import yaml

from harness.__main__ import main
from harness.cli import app
from harness.cli.bash_words import join_words
from harness.executors import ray_cluster
from harness.options import Options
from harness.search.samplers.registry import SAMPLERS
from harness.search.schedulers.registry import SCHEDULERS
from harness.search_stopped import SearchStopped
from harness.session import checks, session
from harness.session.listing import LISTS, listing
from saat.metrics import METRICS
from saat.registry import first_line
from tests.command_lines import leaves
from tests.harness.fakes import experiment, finished
from tests.harness.tiny import tiny

ROOT = Path(__file__).resolve().parent.parent.parent
SPACE = ROOT / "search_spaces" / "quickstart.yaml"
TREE: Any = typer.main.get_command(app)
VERBS = {
    "Attack", "Check", "Compare", "Connect", "Continue", "Deliver", "Derive", "Give", "Hand",
    "Iterate", "Keep", "List", "Listen", "Look", "Make", "Map", "Measure", "Open", "Print", "Read",
    "Recompute", "Replace", "Run", "Sample", "Say", "Search", "Show", "Take", "Track", "Train",
    "Try", "Use", "Wait", "Write",
}  # fmt: skip
COMMANDS: dict[str, Any] = TREE.commands
EVERY = {**COMMANDS, **leaves(TREE)}
LINES = {name: command.help.partition("\n")[0] for name, command in EVERY.items()} | {
    f"{name} {parameter.name}": parameter.help or ""
    for name, command in {"saat": TREE, **EVERY}.items()
    for parameter in command.params
    if "completion" not in parameter.name  # typer's own
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_help_line_is_one_sentence_that_begins_with_a_verb(line: str) -> None:
    assert line.split()[0] in VERBS
    assert re.fullmatch(r"[A-Z][^\n]*[^.…]\.", line)
    assert not re.search(r"[.;] [A-Z]", line)
    assert "default" not in line, "typer writes it, in the same place of every line"


def test_the_version_is_the_one_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"{project['name']} {project['version']}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Runs of two names in the folder that commands look in, and one elsewhere."""
    for place in ("runs/digits", "runs/demo", "elsewhere/other", "runs/no_run"):
        (tmp_path / place).mkdir(parents=True)
        if "no_run" not in place:
            (tmp_path / place / "experiment.yaml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("status d", ["demo", "digits"]),
        ("report demo di", ["digits"]),
        ("resume --runs-dir elsewhere o", ["other"]),
        ("ui n", []),
        ("list d", ["datasets", "defenses"]),
        ("val", ["validate"]),
        ("resume --exec", ["--executor"]),
    ],
)
def test_the_shell_completes_names(folder: Path, typed: str, offered: list[str]) -> None:
    done = completed(folder, typed)
    assert done.stdout.split() == offered
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("resume demo --executor ", ["ray", "inline"]),
        ("resume demo --executor = i", ["inline"]),
        ("search x.yaml --set search.sam", ["search.sampler="]),
        ("search x.yaml --set space.", []),
        ("search SPACE --set space.", [
            "space.defense.eps=", "space.defense.lambda=", "space.defense.mu=",
            "space.defense.steps=", "space.model.bits="]),
        ("search x.yaml --set search.sampler = tp", ["tpe"]),
        ("search x.yaml --set search.sampler = ", ["ehvi", "gp", "nsga2", "random", "tpe"]),
        ("search x.yaml --set data.name = digits_", ["digits_mini"]),
        ("search x.yaml --set = model.back", ["model.backbone="]),
        ("validate x.yaml --set confirm.undefended = t", ["true"]),
        ("validate x.yaml --set defense.method = trades --set defense.b", [
            "defense.batch_size=", "defense.beta="]),
        ("validate x.yaml --set defense.b", ["defense.batch_size="]),
        ("evaluate runs/x --attack sd", ["sdha", "sdha_targeted"]),
        ("evaluate runs/x --battery ex", ["exhaustive"]),
        ("evaluate runs/x --precision ", ["fp32", "tf32", "bf16"]),
        ("evaluate runs/x --device cu", ["cuda"]),
        ("evaluate runs/x --queries v", ["validation"]),
        ("reproduce table2 fig", ["figure3", "figure4", "figure5", "figure6", "figure7"]),
        ("reproduce table2 --scale f", ["full"]),
        ("reproduce table2 --data dig", ["digits"]), ("reproduce table2 --data cif", []),
        ("reproduce table2 --scale full --data cif", ["cifar10"]),
        ("transfer demo --attack ", []),
        ("leaderboard add demo --setting ", []),
        ("report demo --by ", []),
    ],
)  # fmt: skip
def test_the_shell_completes_words(
    folder: Path, typed: str, offered: list[str], asked: Callable[[str], list[str]]
) -> None:
    assert asked(typed.replace("SPACE", str(SPACE))) == sorted(offered)


@pytest.fixture
def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], list[str]]:
    """Completes in this process, as bash asks."""
    monkeypatch.chdir(tmp_path)

    def answers(typed: str) -> list[str]:
        words = f"saat {typed}"
        monkeypatch.setenv("_SAAT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        with pytest.raises(SystemExit):
            main([])
        out, err = capsys.readouterr()
        assert err == ""
        return sorted(out.split())

    return answers


def test_the_shell_completes_what_a_run_has(
    tmp_path: Path, asked: Callable[[str], list[str]]
) -> None:
    searched = experiment(name="done")
    run_dir = tmp_path / "runs" / "done"
    search = finished(run_dir, searched)
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    trial = run_dir / "trials" / search.state.of_phase("confirm")[0].spec.trial_id
    trial.mkdir(parents=True)
    rows = np.zeros(1, dtype=np.int64)
    images = np.zeros((1, 3, 8, 8), dtype=np.uint8)
    stored: dict[str, Any] = dict.fromkeys(("hag", "pgd", "tta", "tta_target"), images)
    np.savez(trial / "adversarial.npz", rows=rows, hag_queries=rows, **stored)
    offered = {
        "transfer done --attack ": ["hag", "pgd"],
        "leaderboard add done --setting ": ["default", "recommended", "undefended"],
        "report done --by ": ["defense.steps", "model.bits"],
    }
    for typed, names in offered.items():
        assert asked(typed) == names


@pytest.mark.parametrize(
    ("words", "joined", "before"),
    [
        ("saat search x --set a = b", "saat search x --set a=b", "a="),
        ("saat search x --set a =", "saat search x --set a=", "a="),
        ("saat search x --set a = b c", "saat search x --set a=b c", ""),
        ("saat search x --set = a = b", "saat search x --set=a=b", "a="),
        ("saat resume --executor = i", "saat resume --executor=i", ""),
        ("saat ", "saat ", ""),
        ("= =", "==", "=="),
    ],
)
def test_words_that_bash_splits_are_whole_again(words: str, joined: str, before: str) -> None:
    parts = words.split(" ")
    found, place, known = join_words(parts, len(parts) - 1)
    assert " ".join(found) == joined
    assert place == len(found) - 1
    assert known == before


def completed(folder: Path, typed: str) -> subprocess.CompletedProcess[str]:
    words = f"saat {typed}"
    environment = {
        **os.environ,
        "_SAAT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    return subprocess.run(
        [sys.executable, "-m", "harness"],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_the_help_names_every_list() -> None:
    (what, *_) = COMMANDS["list"].params
    assert what.help == f"List one of {', '.join(LISTS)}."


def quiet(_: str) -> None:
    pass


@pytest.mark.lengthy
def test_a_search_is_resumed_without_ray_if_ray_does_not_start(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise SearchStopped("Ray did not start on this machine; without Ray: --executor inline")

    monkeypatch.setattr(ray_cluster, "connect", fails)
    wanted = tiny({"pretrain.epochs": 1, "defense.epochs": 1, "name": "on_ray"})
    with monkeypatch.context() as starting:
        inline = checks.executor_of_run(wanted, Options(runs_dir, executor="inline"), quiet)
        starting.setattr(session, "executor_of_run", lambda *_: inline)
        starting.setattr(session, "run_search", stopped)
        with pytest.raises(SearchStopped):
            session.start(wanted, Options(runs_dir, executor="ray"), "train", quiet)
    for options, status in (([], 1), (["--executor", "rya"], 2), (["--executor", "inline"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(["resume", "on_ray", "--runs-dir", str(runs_dir), *options])
        assert ended.value.code == status
        said = capsys.readouterr()
    assert said.out.startswith("1 trial: 1 completed")


def stopped(_: object, journal: Any, *__: object) -> None:
    """A driver that ends before its first trial."""
    journal.close()
    raise SearchStopped("no Ray")


@pytest.mark.parametrize("what", ["samplers", "schedulers", "metrics"])
def test_lists_of_a_search_name_every_entry_and_the_package_of_a_foreign_one(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registries: dict[str, Any] = {"samplers": SAMPLERS, "schedulers": SCHEDULERS}
    registry = {**registries, "metrics": METRICS}[what]
    first = next(iter(registry))
    package = registry.package
    foreign = {first: "other-package"}
    monkeypatch.setattr(registry, "package", lambda name: foreign.get(name) or package(name))
    lines = dict(line.split(maxsplit=1) for line in listing(what, tmp_path)[0].splitlines())
    assert list(lines) == list(registry)
    assert all(lines.values())
    assert [name for name, text in lines.items() if "[" in text] == [first]
    assert lines[first].endswith(" [other-package]")


def test_the_list_of_metrics_says_what_a_search_can_aim_for(tmp_path: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in listing("metrics", tmp_path)[0].splitlines())
    most, least = (
        "objectives (max), constraints (at_least).",
        "objectives (min), constraints (at_most).",
    )
    assert lines["robust_map"].endswith(f" val/robust_map in {most}")
    for name in ("target_map", "code_length", "device_seconds"):
        assert lines[name].endswith(f" val/{name} in {least}")
    assert "objectives" not in lines["chance_map"]


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(str(ended.value.code)), capsys.readouterr().out


def test_the_command_alone_and_both_options_print_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, alone = ran(capsys)
    assert status == 0
    assert "search" in alone
    assert "Examples" in alone
    for option in ("-h", "--help"):
        assert ran(capsys, option)[0] == 0
        for command in COMMANDS:
            status, text = ran(capsys, command, option)
            assert status == 0
            assert "Usage: saat" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_examples_that_can_be_given(name: str) -> None:
    heading, *lines = COMMANDS[name].epilog.split("\n\n")
    assert heading == "Examples:"
    assert lines
    for line in lines:
        program, command, *words = line.split()
        assert (program, command) == ("saat", name)
        with COMMANDS[name].make_context(name, words) as context:
            assert context.params or hasattr(COMMANDS[name], "commands")
        files = [word for word in words if word.startswith("search_spaces/")]
        assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("what", ["attacks", "samplers", "searches"])
def test_a_list_for_programs_has_what_the_lines_say(
    what: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, text = ran(capsys, "list", what, "--json", "--runs-dir", str(tmp_path))
    found = json.loads(text)
    assert status == 0
    assert set(found) == {"list", "entries", "problems"}
    assert (found["list"], found["problems"]) == (what, [])
    lines = [f"{entry['name']} {entry['description']}" for entry in found["entries"]]
    shown = listing(what, tmp_path)[0].splitlines() if lines else []
    assert [line.split() for line in shown] == [line.split() for line in lines]
    assert bool(lines) == (what != "searches")


def test_samplers_are_listed_by_the_first_lines_of_their_docstrings() -> None:
    for name in ("ehvi", "tpe", "nsga2", "gp", "random"):
        assert SAMPLERS.description(name) == first_line(SAMPLERS[name])


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("serach x.yaml", "search"), ("status x --runs-dri y", "--runs-dir"),
        ("list attakcs", "attacks"), ("evaluate x --attack hagg", "hag"),
        ("evaluate x --battery cor", "core"), ("evaluate x --queries tst", "test"),
        ("evaluate x --precision fp3", "fp32"), ("evaluate x --device cdua", "cuda"),
        ("status dmo", "demo"), ("report demo dgits", "digits"), ("verify dmo", "demo"),
        ("transfer dmo", "demo"), ("resume dmo", "demo"), ("sync dmo", "demo"),
        ("leaderboard add dmo", "demo"), ("leaderboard ad x", "add"),
        ("leaderboard add demo --claimed rob=0.4", "robust"),
        ("reproduce tabel2", "table2"), ("reproduce table2 --scale smal", "small"),
        ("reproduce table2 --data digit", "digits"),
        ("search SPACE --executor rya", "ray"), ("validate SPACE --set data.name=digit", "digits"),
        ("validate SPACE --set defense.method=saatt", "saat"),
        ("validate SPACE --set evaluation.attacks=[mainsty]", "mainstay"),
        ("validate SPACE --set search.sampler=tpee", "tpe"),
        ("validate SPACE --set search.scheduler=asah", "asha"),
        ("validate SPACE --set model.backbone=smal_cnn", "small_cnn"),
        ("validate SPACE --set model.hashing=dphh", "dph"),
        ("validate SPACE --set defense.lamda=1", "lambda"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_answered_with_the_nearest_one(
    words: str,
    meant: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main([str(SPACE) if word == "SPACE" else word for word in words.split()])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    asked = re.search(r"(did you mean|Did you mean|Possible options:) '?([\w.-]+)", said)
    assert asked is not None, said
    assert asked[2].rstrip(".") == meant
