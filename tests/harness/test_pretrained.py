"""The store of pretrained models between processes: built once, whoever dies meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.trial.pretrained import Pretrained, fetch_pretrained
from saat import tensor_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")

# Fetches the model "key"; whoever trains it adds its name to "builders", and says so at once.
FETCHES = """
import sys, time
from pathlib import Path
import torch
from harness.trial import lease
from harness.trial.pretrained import Pretrained, fetch_pretrained
lease.BEAT_S, lease.LOOK_S = 0.1, 0.05
root, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
network, objective = torch.nn.Linear(3, 2), torch.nn.Linear(1, 1)
def build(folder, check):
    with (root / "builders").open("a") as file:
        file.write(name)
    print("builds", flush=True)
    time.sleep(seconds)
    torch.nn.init.constant_(network.weight, ord(name))
    return Pretrained(seconds)
spent = fetch_pretrained(root / "key", network, objective, build, name).seconds
print(chr(int(network.weight[0, 0])), spent > 0, flush=True)
"""
Start = Callable[[str, float], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that fetches; its name, and how long it trains if it has to."""
    started = []

    def run(name: str, seconds: float) -> "subprocess.Popen[str]":
        arguments = [sys.executable, "-c", FETCHES, str(tmp_path), name, str(seconds)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def answer(process: "subprocess.Popen[str]") -> str:
    """The last line it says."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()[-1]


@pytest.mark.lengthy
def test_of_many_one_trains_the_model_and_the_others_wait_for_it(
    tmp_path: Path, start: Start
) -> None:
    answers = {name: answer(process) for name, process in [(n, start(n, 1.0)) for n in "abc"]}
    (builder,) = list((tmp_path / "builders").read_text())
    assert answers == {name: f"{builder} {name == builder}" for name in "abc"}


@pytest.mark.lengthy
def test_a_killed_builder_is_followed_by_one_of_those_who_wait(
    tmp_path: Path, start: Start
) -> None:
    builder = start("a", 600.0)
    assert builder.stdout is not None
    assert builder.stdout.readline() == "builds\n"
    waiting = {name: start(name, 0.5) for name in "bc"}
    model = tmp_path / "key" / "model.safetensors"
    half = model.with_name(f".{builder.pid}.{model.name}")  # as if it had died while writing
    half.write_bytes(b"half a model")
    builder.send_signal(signal.SIGKILL)
    answers = {name: answer(process) for name, process in waiting.items()}
    first, second = list((tmp_path / "builders").read_text())
    assert (first, second in waiting) == ("a", True)
    assert answers == {name: f"{second} {name == second}" for name in waiting}
    tensors, _ = tensor_file.load(model)
    assert torch.equal(tensors["network.weight"], torch.full((2, 3), float(ord(second))))


@pytest.mark.parametrize(
    "meta", [{}, {"builder": "a", "seconds": "long"}, {"builder": "a", "seconds": [1]}]
)
def test_a_model_that_does_not_say_how_it_came_about_is_trained_again(
    tmp_path: Path, meta: dict[str, Any]
) -> None:
    network, objective = torch.nn.Linear(3, 2), torch.nn.Linear(1, 1)
    tensors = {
        **tensor_file.prefixed("network", network.state_dict()),
        **tensor_file.prefixed("objective", objective.state_dict()),
    }
    tensor_file.save(tmp_path / "key" / "model.safetensors", tensors, meta)
    built = Pretrained(3.0)
    fetch: Any = partial(fetch_pretrained, tmp_path / "key", network, objective)
    assert fetch(lambda *_: built, "a") == built
    assert fetch(lambda *_: 1 / 0, "a") == built


def test_a_model_of_another_network_is_trained_again(tmp_path: Path) -> None:
    objective, built = torch.nn.Linear(1, 1), Pretrained(3.0)
    for width in (2, 4):
        fetch: Any = partial(fetch_pretrained, tmp_path / "key", torch.nn.Linear(3, width))
        assert fetch(objective, lambda *_: built, "a") == built
    assert fetch(objective, lambda *_: 1 / 0, "a") == built
