"""Every command in the documents is one that works, as far as can be told without its work.

Each command line of a fenced block is handed to the real program with real files. ``saat validate``
and ``saat list`` run whole; of the others everything runs but the work itself, for the reason that
stands in ``WORK``.
"""

import argparse
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import pytest
import typer.main

import harness
from harness.__main__ import main
from harness.cli import app
from harness.experiment.space import Dimension
from tests.command_lines import commands, fenced, leaf_of, leaves, written_files

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "search_spaces").glob("*.md")]
)
TREE: Any = typer.main.get_command(app)

# Words that stand for something of the reader's own → something that is here.
PLACEHOLDERS = {
    "EXPERIMENT.yaml": "search_spaces/quickstart.yaml",
    "[EXPERIMENT]": "search_spaces/quickstart.yaml",
    "FILE…": "search_spaces/quickstart.yaml",
    "NAME…": "NAME",
    "TABLE…": "table2",
    "WHAT": "attacks",
    # Of `ray job submit --working-dir search_spaces`.
    "saat_lambda_mu.yaml": "search_spaces/saat_lambda_mu.yaml",
}
# … where the command wants a file of its own kind.
OF_COMMAND = {"compare": {"EXPERIMENT.yaml": "search_spaces/defenses_digits.yaml"}}
# Folders and files that are the reader's own, or come from an earlier command of the page.
ELSEWHERE = ("/path/to/", "/shared/", "runs/")

# Command → why its work is not done here, and the functions that do it.
WORK: Mapping[str, tuple[str, list[str]]] = {
    **dict.fromkeys(
        ("search", "train", "compare"),
        (
            "minutes to days",
            [
                "session.session.start",
                "cli.runs.conclude",
                "session.dry_run.dry_run",
                "session.dry_run_text.as_text",
                "session.dry_run_text.as_json",
            ],
        ),
    ),
    "resume": ("needs an interrupted run", ["session.session.resume", "cli.runs.conclude"]),
    "status": ("needs a run", ["session.status.status_of", "session.status.render"]),
    "report": (
        "needs runs",
        [
            "session.resume_checks.read_stored",
            "session.session.make_report",
            "session.live_report.serve_live",
        ],
    ),
    "ui": ("serves until it is ended", ["session.ui.serve"]),
    "sync": ("needs a run and a server", ["session.session.sync"]),
    "evaluate": (
        "needs a trained model",
        [
            "evaluation.models.trained_subject",
            "evaluation.models.moved_subject",
            "evaluation.models.factory_subject",
            "evaluation.reevaluate.reevaluate",
        ],
    ),
    "verify": ("needs a run", ["evaluation.verify.verify"]),
    "transfer": ("needs a run", ["evaluation.transfer.transfer"]),
    "leaderboard add": (
        "needs a run",
        ["leaderboard.from_run.entries_of", "leaderboard.store.add_entries"],
    ),
    "leaderboard page": ("needs entries", ["leaderboard.pages.write_pages"]),
    "reproduce": (
        "minutes to days",
        [
            "reproduce.profile.profile_of",
            "reproduce.reproduce.reproduce",
            "reproduce.costs.dry_run",
            "reproduce.costs_text.as_text",
        ],
    ),
    "preflight": ("needs a cluster", ["preflight.command.preflight"]),
}
WHOLE = {"validate", "list"}

# Lines that cannot be tried even so.
NOT_TRIED = {
    "train example.yaml": "the page writes the file, with methods of its own: test_extending.py",
}
# Modules without a parser, and how many arguments they take.
UNPARSED = {
    "tests.golden": 0,
    "benchmarks.kernels": 0,
    "benchmarks.steps": 0,
    "benchmarks.scaling": 0,
    "benchmarks.recompute": 1,
}


class Line(NamedTuple):
    document: str
    words: list[str]

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


def found(program: str) -> list[Line]:
    """Its command lines in the fenced blocks of all documents."""
    return [
        Line(str(path.relative_to(ROOT)), words)
        for path in DOCUMENTS
        for words in commands(fenced(path.read_text()), program)
    ]


def mentioned(program: str) -> Iterator[tuple[str, str]]:
    """Document and text of every inline piece of code that begins with the program's name."""
    for path in DOCUMENTS:
        prose = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.S | re.M)
        for text in re.findall(rf"`({re.escape(program)} [^`]+)`", prose):
            yield str(path.relative_to(ROOT)), text


def concrete(words: list[str]) -> list[str]:
    """The words with something real in the place of every placeholder."""
    chosen = PLACEHOLDERS | OF_COMMAND.get(words[0], {})
    return [chosen.get(word, word) for word in words]


def missing_files(words: list[str], page: str = "") -> list[str]:
    """Words that name files that neither the repository has nor the page has one write."""
    files = {w for w in words if re.search(r"\.(ya?ml|parquet|csv|md)$", w)} - {
        *written_files(page)
    }
    return [w for w in sorted(files) if not (ROOT / w).exists() and not w.startswith(ELSEWHERE)]


SAAT = [line for line in found("saat") if " ".join(line.words) not in NOT_TRIED]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that would work is replaced, and told when it is called."""
    # A module that is first imported while a function is replaced keeps the replacement.
    for found_module in pkgutil.walk_packages(harness.__path__, "harness."):
        importlib.import_module(found_module.name)
    called: list[str] = []
    for name in {target for _, targets in WORK.values() for target in targets}:
        module, _, function = f"harness.{name}".rpartition(".")
        result = MagicMock(wrong=[], failures=[])
        result.content.return_value = {}
        result.space = {"defense.method": Dimension.model_validate({"choice": ["saat", "cgat"]})}
        pairs = ("moved_subject", "read_stored")
        given: Any = (result, "") if function in pairs else {} if function == "as_json" else result
        monkeypatch.setattr(importlib.import_module(module), function, noting(called, name, given))
    for group in ("runs", "evaluation", "leaderboard"):
        command = f"harness.cli.{group}"
        monkeypatch.setattr(f"{command}.existing_run", lambda runs_dir, name: runs_dir / name)
    return called


def noting(called: list[str], name: str, result: Any) -> Any:
    def work(*_: Any, **__: Any) -> Any:
        called.append(name)
        return result

    return work


@pytest.mark.parametrize("line", SAAT, ids=str)
def test_a_documented_command_gets_as_far_as_its_work(
    line: Line,
    no_work: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = concrete(line.words)
    page = (ROOT / line.document).read_text(encoding="utf-8")
    assert missing_files(words, page) == []
    for name, content in written_files(page).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for folder in ("search_spaces", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0, capsys.readouterr().err
    if words[0] not in WHOLE:
        assert set(no_work) & set(WORK[leaf_of(TREE, words)][1])


def test_every_command_is_documented_and_has_a_place_here() -> None:
    known = set(leaves(TREE))
    assert known == WHOLE | set(WORK)
    assert {leaf_of(TREE, line.words) for line in found("saat")} == known
    lines = {" ".join(line.words) for line in found("saat")}
    assert set(NOT_TRIED) <= lines, "an exception that is none any more"


def test_a_command_that_must_fail_is_seen(
    no_work: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in ("report", "evaluate --factory pkg:fn", "search nowhere.yaml", "serch x"):
        with pytest.raises(SystemExit) as ended:
            main(wrong.split())
        assert ended.value.code == 2, wrong
    assert missing_files(["search", "search_spaces/nowhere.yaml"]) != []


def mention_fault(text: str) -> str:
    """What is wrong with the name of a command and its options, wherever they are mentioned."""
    words = re.sub(r"[\[\]…]", " ", text).split()
    of_all = words[1:2] and words[1].startswith("-")
    leaf = leaf_of(TREE, words[1:])
    if not (of_all or leaf):
        return f"{text}: no such command"
    command = TREE if of_all else leaves(TREE)[leaf]
    known = {"--help"} | {option for parameter in command.params for option in parameter.opts}
    wrong = [w for w in words[1:] if w.startswith("-") and w.partition("=")[0] not in known]
    return f"{text}: {wrong[0]}" if wrong else ""


def test_commands_in_the_prose_are_there_with_their_options() -> None:
    pieces = list(mentioned("saat"))
    assert len(pieces) > 20
    assert [said for _, text in pieces if (said := mention_fault(text))] == []
    assert mention_fault("saat serch") == "saat serch: no such command"
    assert mention_fault("saat search … --adress auto") != ""
    assert mention_fault("saat --versions") != ""


class Parsed(Exception):
    pass


def python_fault(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the module says against its arguments; none of its work is done."""
    if words[:1] != ["-m"] or len(words) < 2:
        return "not a module"
    name, arguments = words[1], [re.sub(r"^WHERE:SEED$", "inline:1", word) for word in words[2:]]
    if not name.startswith(("benchmarks.", "tests.")):
        return f"{name}: not a module of ours"
    if name in UNPARSED:
        fits = len(arguments) == UNPARSED[name] and importlib.util.find_spec(name)
        return "" if fits else f"{name}: takes {UNPARSED[name]} arguments"
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, given: Any = None, *more: Any) -> None:
        parse(self, given, *more)
        raise Parsed

    spec = importlib.util.find_spec(name)
    is_package = spec is not None and spec.submodule_search_locations is not None
    module = importlib.import_module(f"{name}.__main__" if is_package else name)
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        patch.setattr(sys, "argv", [name, *arguments])
        try:
            module.main()
        except Parsed:
            return ""
        except SystemExit as error:
            return f"{name}: status {error.code}"
    return f"{name}: parses nothing"


def test_python_modules_take_their_documented_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.words for line in found("python")]
    lines += [text.split()[1:] for _, text in mentioned("python -m")]
    assert len(lines) > 5
    faults = {" ".join(words): python_fault(words, monkeypatch) for words in lines}
    assert {line: said for line, said in faults.items() if said} == {}
    assert {file for words in lines for file in missing_files(words)} == set()
    wrong = ["-m", "benchmarks.efficiency.compare", "search_spaces/voc2007.yaml", "--out", "x"]
    assert python_fault(wrong, monkeypatch) != ""
    capsys.readouterr()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_has_every_documented_target() -> None:
    targets = {word for line in found("make") for word in line.words}
    targets |= {word for _, text in mentioned("make") for word in text.split()[1:]}
    assert {"demo", "test"} <= targets

    def knows(target: str) -> bool:
        asked = ["make", "--question", "--dry-run", "--file", str(ROOT / "Makefile"), target]
        told = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False)
        return "No rule" not in told.stderr

    assert [target for target in sorted(targets) if not knows(target)] == []
    assert not knows("nothing")


def test_the_page_of_experiment_files_lists_every_one_that_is_shipped() -> None:
    page = (ROOT / "search_spaces" / "README.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+\.yaml)`", row)}
    assert listed == {path.name for path in (ROOT / "search_spaces").glob("*.yaml")}
