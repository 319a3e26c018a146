"""A hundred generated wrong command lines: status 2, one line, nothing started."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from harness.__main__ import main
from harness.cli import app
from harness.files import write_text
from tests.command_lines import leaves
from tests.harness.fakes import experiment, finished
from tests.harness.test_bad_input import check_line, tree
from tests.harness.tiny import tiny_raw

pytestmark = pytest.mark.lengthy

COMMANDS = 100
LONG = "x" * 300
PATHS = [LONG, "a/" + LONG, "a/" * 2000 + "b", "~nosuchuser/x", "", "\udcff", "\ud800"]
NUMBERS = ["", "x", "1.5x", "nan", "-1", "1e400", "9" * 400, "0x", "١٢x"]
WORDS = ["", "x", "cor", "tset", "cuda0", "maistay", "rya", "\x1b[31m", "\u202e", "x" * 5000]
KEYS = [
    "x", "=", "=1", "nam=1", "defense.lamda=1", "defense.steps=9007199254740992",
    "seed=" + "9" * 400,
    "model.bits=!!int ''", "space.model.bits={choice: [16, 16]}", "data.path=" + LONG,
    "data={path: ~nosuchuser/x}", "defense.lr=1e308", "resources.cpus_per_trial=100000",
    "space.defense.lambda={float: [0, 1], step: 1e-18}", "constraints=5", "name=\ud800", "x" * 5000,
    "search.sampler=tpee", "defense.method=none", "evaluation.attacks=[maistay]", "a=" + "[" * 3000,
]  # fmt: skip
# Wrong values of every option, and of every argument by its name in the usage.
WRONG = {
    "--set": KEYS, "--name": ["", "a/b", "..", LONG, "a\nb", "\ud800", "λ"],
    "--num-samples": NUMBERS, "--max-concurrent": [*NUMBERS, "0"], "--seed": NUMBERS,
    "--steps": [*NUMBERS, "0", "100001"], "--timeout": [*NUMBERS, "0", "inf"],
    "--port": [*NUMBERS, "0", "65536"], "--eps": ["", "x", "-1", "nan", "inf", "1/0", "1e308"],
    "--executor": WORDS, "--battery": WORDS, "--queries": WORDS, "--device": WORDS,
    "--by": [*WORDS, "bits", "defense.eps", "defense.lamda", "model.bit", "\ud800"],
    "--attack": WORDS, "--precision": WORDS,
    "--runs-dir": PATHS, "--cache-dir": PATHS, "--output": PATHS,
    "--into": [*PATHS, "tiny.yaml"], "--setting": WORDS, "--protocol": WORDS,
    "--claimed": ["", "x", "map", "map=x", "map=1.5", "map=1e400", "clean=0.5", "map=0.1,map=0.1"],
    "--paper": ["", "A", "\x1b[31m"], "--year": [*NUMBERS, "0"], "--link": WORDS,
    "--weights": PATHS, "--experiment": PATHS, "--label-map": PATHS, "--transfer-from": PATHS,
    "--data-path": PATHS, "--data-root": PATHS, "--allow": PATHS,
    "--tracking-uri": ["ftp://host", "http://[", "http://u:p@h", "x", "", "sqlite", "sqlite://",
                       "x" * 5000],
    "EXPERIMENT.yaml": PATHS, "CHECKPOINT": PATHS, "FILE": PATHS,
    "NAME": [*PATHS, "don", "..", "λ"], "what": WORDS,
    "TABLE": WORDS, "--data": WORDS, "--scale": WORDS, "--bits": [*NUMBERS, "33"],
    "--gpus": ["", "x", "-1", "nan", "1025", "9" * 400],
}  # fmt: skip
# Switches have no value; an address is knocked at, and a factory is imported.
UNCHANGED = {
    "--autoscaling", "--json", "--dry-run", "--help", "--address", "--factory", "--replace",
    "--live", "--print",
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_raw()))
    searched = experiment(name="done")
    finished(tmp_path / "runs" / "done", searched)
    text = yaml.safe_dump(searched.dump(), sort_keys=False)
    write_text(tmp_path / "runs" / "done" / "experiment.yaml", text)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def parameters() -> list[tuple[str, Any]]:
    """(command, parameter) of the whole command line."""
    commands = leaves(typer.main.get_command(app))
    return [(name, one) for name, command in commands.items() for one in command.params]


def called(parameter: Any) -> str:
    """An option's long name, or the name of an argument in the usage."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name)


def given(command: str, but: str) -> list[str]:
    """Arguments that a command needs, all right, except the one called ``but``."""
    right = {"EXPERIMENT.yaml": "tiny.yaml", "FILE": "tiny.yaml", "NAME": "done"}
    right |= {"what": "attacks", "CHECKPOINT": "tiny.yaml", "TABLE": "figure7"}
    names = [called(one) for name, one in parameters() if name == command]
    return [right[name] for name in names if name in right and name != but]


def wrong_lines(draw: random.Random) -> Iterator[list[str]]:
    """Command lines with one thing wrong; every parameter of every command has its turn."""
    changed = [(name, one) for name, one in parameters() if called(one) not in UNCHANGED]
    draw.shuffle(changed)
    for command, parameter in changed:
        name = called(parameter)
        value = draw.choice(WRONG[name])
        if parameter.param_type_name == "option":
            yield [*command.split(), *given(command, name), f"{name}={value}"]
        else:
            # An empty argument stays one, and none begins like an option.
            yield [*command.split(), *given(command, name), "--", value]
    commands = sorted({name for name, _ in parameters()})
    while True:
        command = draw.choice(commands)
        at = draw.randrange(len(command))
        yield draw.choice(
            (
                [*(command[:at] + command[at + 1 :] + "q").split()],
                [*command.split(), *given(command, ""), f"--{'x' * draw.choice((1, 3000))}"],
                [*command.split(), *given(command, ""), "--json=1", "--no-such"],
                ["--runs-dir", "x", command],
            )
        )


def test_every_parameter_has_wrong_values() -> None:
    names = {called(one) for _, one in parameters()}
    assert names <= set(WRONG) | UNCHANGED
    assert all(WRONG[name] for name in names - UNCHANGED)


def test_a_generated_wrong_command_starts_nothing(world: Path, seed: int, capsys: Any) -> None:
    before = tree(world)
    lines = wrong_lines(random.Random(seed))
    for number in range(COMMANDS):
        arguments = next(lines)
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            out, err = capsys.readouterr()
            check_line(ended.value.code, out, err)
            assert max(map(len, err.split())) <= 220  # what is longer is cut
            assert tree(world) == before
        except BaseException as error:
            error.add_note(f"command {number} of seed {seed}: {[part[:200] for part in arguments]}")
            raise
