"""``saat evaluate --factory``: a user's own network under the protocol of an experiment."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from harness.__main__ import main
from harness.evaluation.models import factory_subject
from saat.protocol import Protocol, evaluate, named_attacks
from tests.harness.tiny import tiny_raw

MODULE = '''
import torch
from torch import nn

class Colours(nn.Module):
    """Mean colours through a layer whose weights lie in a file."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 24)

    def forward(self, images):
        return self.layer(images.mean((2, 3)) - 0.5)

def make(weights):
    torch.manual_seed(0)
    network = Colours()
    if weights is not None:
        network.load_state_dict(torch.load(weights, weights_only=True))
    return network

def number(weights):
    return 3

def images(weights):
    return nn.Identity()

class Constant(Colours):
    def forward(self, images):
        return super().forward(images) * 0 + 1

def constant(weights):
    return Constant()

def broken(weights):
    raise RuntimeError("no such \\n layer")

class Around(nn.Module):
    def __init__(self, around):
        super().__init__()
        self.network, self.around = make(None), around

    def forward(self, images):
        return self.around(self.network, images)

def pair(weights):
    return Around(lambda network, images: (network(images), images))

def named(weights):
    return Around(lambda network, images: {"codes": network(images)})

def long(weights):
    return Around(lambda network, images: network(images).sign().long())

def centred(weights):
    return Around(lambda network, images: network(images.sub_(0.5)))

def hidden(weights):
    def around(network, images):
        images.data.sub_(0.5)
        return network(images)
    return Around(around)

def double(weights):
    return make(None).double()

def few(weights):
    def around(network, images):
        if len(images) > 16:
            raise RuntimeError("at most\\n16 images")
        return network(images)
    return Around(around)

def few_attacked(weights):
    def around(network, images):
        if images.requires_grad and len(images) > 16:
            raise SystemExit(0)
        return network(images)
    return Around(around)

def ends(weights):
    raise SystemExit(0)

def ends_later(weights):
    return Around(lambda network, images: exit())

class Stubborn(Colours):
    def eval(self):
        raise RuntimeError("never evaluated")

def stubborn(weights):
    return Stubborn()

def graded(weights):
    def around(network, images):
        with torch.enable_grad():
            return network(images)
    return Around(around)

def flat(weights):
    return Around(lambda network, images: network(images.detach()))

def numpy(weights):
    def around(network, images):
        mean = torch.from_numpy(images.numpy().mean((2, 3)))
        return network.layer(mean - 0.5)
    return Around(around)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_raw()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / name


def command(own: Path, function: str, *more: str) -> int:
    arguments = ["evaluate", "--factory", f"{own.name}:{function}", "--experiment", "tiny.yaml"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *more])
    return int(str(ended.value.code))


def test_numbers_that_mean_nothing_are_warned_of_without_a_battery(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, "constant") == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(warned) == 3
    for line, said in zip(
        warned, ("clean MAP is not above chance", "have one code", "exactly zero"), strict=True
    ):
        assert said in line


def test_a_network_of_ones_own_is_attacked_like_any_other(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, "make", "-o", "out") == 0
    assert "worst case" in capsys.readouterr().out
    written = json.loads(Path("out/metrics.json").read_text())
    assert written["model"] == f"{own.name}:make"
    assert written["dataset"] == "digits_mini"
    subject = factory_subject(f"{own.name}:make", None, Path("tiny.yaml"))
    protocol = Protocol(named_attacks(["mainstay", "hag"], 2), top_k=100)
    expected = evaluate(subject.network, subject.data, protocol).metrics()
    assert written["metrics"] == expected
    with np.load("out/adversarial.npz") as arrays:
        assert arrays["hag"].shape == (100, 3, 16, 16)


def test_weights_reach_the_factory(own: Path) -> None:
    layer = {"layer.weight": torch.zeros(24, 3), "layer.bias": torch.ones(24)}
    torch.save(layer, "weights.pt")
    subject = factory_subject(f"{own.name}:make", Path("weights.pt"), Path("tiny.yaml"))
    codes = subject.network(torch.rand(2, 3, 4, 4))
    assert codes.tolist() == [[1.0] * 24] * 2
    assert isinstance(subject.network, nn.Module)


@pytest.mark.parametrize(
    ("factory", "named"),
    [
        ("number", "gave a int, not a torch.nn.Module"),
        ("images", "its output is"),
        ("broken", "no such layer"),
        ("missing", "has no attribute 'missing'"),
        ("pair", "its output is a tuple of 2, not a float tensor (B, K)"),
        ("named", "its output is a dict with the keys codes, not"),
        ("long", "its output is torch.int64 (16, 24), not"),
        ("centred", "changes its input in place"),
        ("hidden", "changes its input in place"),
        ("double", "RuntimeError: "),
        ("ends", "SystemExit: 0"),
        ("ends_later", "SystemExit"),
        ("stubborn", "RuntimeError: never evaluated"),
    ],
)
def test_a_factory_that_gives_no_network_is_refused(
    own: Path, factory: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, factory) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.startswith(f"saat: --factory {own.name}:{factory}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("factory", "named"),
    [("few", "RuntimeError: at most 16 images"), ("few_attacked", "SystemExit: 0")],
)
def test_an_error_of_the_network_while_it_is_measured_is_one_line(
    own: Path, factory: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, factory) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == f"saat: {own.name}:{factory}: {named}"
    assert all(line.startswith("attack ") for line in told[:-1])


def test_a_network_of_ones_own_computes_in_no_bfloat16(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, "make", "--precision", "bf16") == 2
    assert "bf16: only networks of this package compute in it" in capsys.readouterr().err


def test_a_module_that_ends_the_program_when_imported_is_refused(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.with_suffix(".py").write_text("raise SystemExit(0)")
    assert command(own, "make") == 2
    assert capsys.readouterr().err == f"saat: --factory {own.name}:make: SystemExit: 0\n"


def test_a_network_that_switches_gradients_on_is_measured_like_any_other(own: Path) -> None:
    assert command(own, "graded", "-o", "graded") == 0
    assert command(own, "make", "-o", "plain") == 0
    found, plain = (
        json.loads(Path(name, "metrics.json").read_text())["metrics"]
        for name in ("graded", "plain")
    )
    assert found == plain


@pytest.mark.parametrize("function", ["flat", "numpy"])
def test_a_network_without_input_gradients_is_left_to_what_needs_none(
    own: Path, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(own, function, "-o", "none") == 2
    told = capsys.readouterr()
    why = "(RuntimeError: Can't call numpy" if function == "numpy" else ", which"
    assert f"no input gradients{' ' * (why[0] == '(')}{why}" in told.err
    assert ", which mainstay, hag need" in told.err
    assert len(told.err.splitlines()) == 1
    assert not Path("none").exists()
    attacks = ("--attack", "hag", "--attack", "square", "--steps", "3")
    assert command(own, function, *attacks, "-o", "out") == 0
    table = capsys.readouterr().out
    assert "square" in table
    assert "  skipped hag: the network has no input gradients" in table
    written = json.loads(Path("out/metrics.json").read_text())
    assert list(written["skipped"]) == ["hag"]
    assert written["metrics"]["attacks_skipped"] == 1
    assert "map.hag" not in written["metrics"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate"], "give a CHECKPOINT or --factory"),
        (["evaluate", "x", "--factory", "a:b"], "one of the two"),
        (["evaluate", "--factory", "a:b"], "give --experiment"),
        (["evaluate", "--factory", "ab", "--experiment", "tiny.yaml"], "package.module:function"),
        (["evaluate", "--factory", "nowhere:f", "--experiment", "tiny.yaml"], "nowhere"),
        (["evaluate", "--factory", "a:b", "--experiment", "no.yaml"], "no.yaml: no such file"),
        (["evaluate", "x", "--weights", "w"], "--weights w: belongs to --factory"),
        (["evaluate", "x", "--experiment", "w"], "x: no such file"),
        (["evaluate", "x", "--experiment", "w", "--data-path", "d"], "--data-path d: belongs to"),
        (["evaluate", "x", "--experiment", "w", "--allow", "d"], "--allow d: belongs to"),
        (
            ["evaluate", "--factory", "a:b", "--experiment", "tiny.yaml", "--data-root", "d"],
            "--data-root d: belongs to a CHECKPOINT",
        ),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    own: Path, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert named in err
    assert len(err.splitlines()) == 1


def test_missing_weights_are_refused(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(own, "make", "--weights", "none.pt") == 2
    assert "--weights none.pt: no such file" in capsys.readouterr().err
