"""What `import saat` offers: each of the tasks below in at most five lines."""

import doctest
import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import saat
from saat.attacks import HAG, MainstayAttack, Square
from tests import toy
from tests.harness.tiny import shared_cache

DATA = toy.toy_data()
IMAGES, LABELS = DATA.batch(DATA.test[:6]), DATA.label_tensor(DATA.test[:6])

# What stands in the tutorials; `data`, `model`, `images` and `labels` are there already.
EXAMPLES = {
    "evaluate": """
import saat
data = saat.RetrievalData.named("digits_mini", image_size=16)
found = saat.evaluate(model, data)
print(found, found.unreliable)
frame = found.to_frame()
""",
    "tensors": """
import saat
data = saat.RetrievalData.from_tensors(train=(images, labels), test=(images, labels))
found = saat.evaluate(model, data, saat.Protocol())
""",
    "attack": """
import saat
found = saat.attack("hag", model, images, labels, data, eps=8 / 255, steps=5, restarts=2)
adversarial, codes = found.images, found.codes
""",
    "metrics": """
import saat
clean = saat.mean_average_precision(codes, labels, codes, labels)
recall, precision = saat.precision_recall(codes, labels, codes, labels)
first = saat.precision_at(codes, labels, codes, labels, [1, 2]).mean(0)
chance = saat.chance_average_precision(labels, labels).mean()
""",
    "train": """
import saat
data = saat.RetrievalData.named("digits_mini", image_size=16)
network = saat.train(data, bits=16, pretrain_epochs=1, epochs=1, options={"steps": 1})
features = network(torch.rand(2, 3, 16, 16))
""",
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared_cache(tmp_path_factory)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_task_takes_at_most_five_lines(name: str, capsys: Any) -> None:
    lines = EXAMPLES[name].strip().splitlines()
    assert len(lines) <= 5
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8))
    codes = torch.ones(6, 8)
    known = {"model": model, "images": IMAGES, "labels": LABELS, "data": DATA, "codes": codes}
    scope: dict[str, Any] = {**known, "torch": torch}
    exec("\n".join(lines), scope)
    if name == "evaluate":
        assert "worst case" in capsys.readouterr().out
        assert scope["frame"].index[0] == "clean"
    if name == "train":
        assert scope["features"].shape == (2, 16)
        assert scope["features"].requires_grad


def test_the_door_is_lazy_and_says_what_lies_behind_it() -> None:
    code = (
        "import sys; before = set(sys.modules); import saat; names = dir(saat)\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - {'typing', '_typing', 'collections'}))\n"
        "print(callable(saat.evaluate), 'torch' in sys.modules, saat.evaluate is saat.evaluate)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert done == ["['saat']", "True True True"]


def test_every_name_of_the_door_is_there() -> None:
    assert dir(saat) == sorted(dir(saat), key=dir(saat).index)
    for name in saat.__all__:
        value = getattr(saat, name)
        assert value.__doc__, name
    assert sorted(dir(saat)) == sorted([*saat.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = saat.evaluat  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["attacks", "defenses", "hashing"])
def test_every_class_of_a_registry_is_importable_from_its_package(name: str) -> None:
    package = importlib.import_module(f"saat.{name}")
    registry = {"attacks": "ATTACKS", "defenses": "DEFENSES", "hashing": "OBJECTIVES"}[name]
    for entry in getattr(package, registry).values():
        kinds = [entry] if isinstance(entry, type) else [entry.settings, entry.training]
        for kind in kinds:
            assert kind.__name__ in package.__all__
            assert getattr(package, kind.__name__) is kind


DOCTESTED = ("attack_images", "protocol", "retrieval", "stages", "trained_model", "data.dataset")


@pytest.mark.parametrize("name", DOCTESTED)
def test_the_examples_of_the_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"saat.{name}")
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


@pytest.fixture(scope="module")
def core() -> saat.Evaluation:
    return saat.evaluate(toy.pretrained(DATA), DATA, limit=8)


def test_a_bare_evaluation_is_the_core_battery_over_the_whole_database(
    core: saat.Evaluation,
) -> None:
    found = core
    assert {"apgd_mainstay", "apgd_smoothap", "square", "noise"} <= set(found.attacks)
    assert len(found.gate_results) == 13
    codes, labels = found.query_codes, DATA.label_tensor(found.rows)
    database = found.database_codes, DATA.label_tensor(found.database_rows)
    expected = saat.average_precision(codes, labels, *database, top_k=160)
    assert torch.equal(found.clean_ap, expected)


def test_an_evaluation_is_a_table(core: saat.Evaluation) -> None:
    found, metrics, text = core, core.metrics(), str(core)
    lines = text.splitlines()
    assert lines[0] == "MAP@160 in %, ties expected, linf eps 8/255"
    for name, key in (
        ("clean", "clean_map"),
        ("apgd_mainstay", "map.apgd_mainstay"),
        ("chance", "chance_map"),
    ):
        (line,) = [line for line in lines if line.split()[0] == name]
        assert line.split()[1] == f"{100 * metrics[key]:.2f}"
    (worst,) = [line for line in lines if line.startswith("  worst case")]
    assert worst.split()[2:] == [
        f"{100 * metrics['robust_map']:.2f}",
        "(theoretical",
        f"{100 * metrics['floor_map']:.2f})",
    ]
    for gate in found.gate_results:
        assert f"{gate.name}: {gate.detail}" in text
    assert ("UNRELIABLE" in text) == bool(found.unreliable)
    html = found._repr_html_()
    assert f"<td>worst case</td><td>{100 * metrics['robust_map']:.2f}</td>" in html
    assert html.count("<tr>") == 1 + len(found.table().rows)


def test_an_evaluation_is_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = {"hag": HAG(steps=1), "square": Square(steps=1)}
    protocol = saat.Protocol(attacks, eps=0.5, norm="l2", top_k=40)
    found = saat.evaluate(toy.toy_network(), DATA, protocol, limit=8)
    assert str(found).startswith("MAP@40 in %, ties expected, l2 eps 0.5\n")
    assert "gates" not in str(found)
    frame, metrics = found.to_frame(), found.metrics()
    assert list(frame.index) == ["clean", "hag", "square", "worst case", "chance"]
    assert frame.loc["hag", "map"] == metrics["map.hag"]
    assert frame.loc["worst case", "theoretical"] == metrics["floor_map"]
    assert frame["queries"].tolist() == [8] * 5
    assert isinstance(frame, pd.DataFrame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(saat.InputError, match=r"to_frame\(\) needs pandas: pip install pandas"):
        found.to_frame()


def test_attacked_images_stay_in_the_ball_and_have_the_codes_told() -> None:
    network = toy.pretrained(DATA)
    found = saat.attack("hag", network, IMAGES, LABELS, DATA, eps=8 / 255, steps=10)
    assert found.images.dtype == torch.uint8
    assert found.codes.dtype == torch.int8
    assert int((found.images.int() - IMAGES.int()).abs().max()) == 8
    with torch.no_grad():
        features = network.eval()(found.images.float() / 255)
    assert torch.equal(torch.where(features >= 0, 1, -1), found.codes.long())
    codes = torch.where(network(IMAGES.float() / 255) >= 0, 1, -1)
    database = torch.where(network(DATA.batch(DATA.database).float() / 255) >= 0, 1, -1)
    against = database, DATA.label_tensor(DATA.database)
    assert torch.equal(found.ap, saat.average_precision(found.codes.long(), LABELS, *against))
    assert found.ap.mean() < saat.mean_average_precision(codes, LABELS, *against) - 0.3


def test_an_attack_is_its_name_or_an_instance_and_images_are_bytes_or_floats() -> None:
    network = toy.toy_network()

    def images(attack: Any, given: Any, labels: Any, **options: Any) -> Tensor:
        return saat.attack(attack, network, given, labels, DATA, **options).images

    plain = images("mainstay", IMAGES, LABELS, steps=3)
    assert torch.equal(images(MainstayAttack(steps=3), IMAGES, LABELS), plain)
    assert torch.equal(images(MainstayAttack(), IMAGES / 255, LABELS.bool(), steps=3), plain)
    assert torch.equal(images("mainstay", IMAGES.numpy(), LABELS.numpy(), steps=3), plain)
    assert not torch.equal(images("mainstay", IMAGES, LABELS, steps=3, seed=1), plain)
    l2 = images("mainstay", IMAGES, LABELS, steps=3, norm="l2", eps=1.0)
    assert float((l2.double() - IMAGES).flatten(1).norm(dim=1).max()) / 255 <= 1.0 + 1e-6


def test_restarts_cost_what_they_say_and_never_help_the_network() -> None:
    passed: list[int] = []
    network = toy.toy_network()
    network.register_forward_pre_hook(lambda _, inputs: passed.append(len(inputs[0])))

    def attacked(restarts: int) -> tuple[saat.AttackResult, int]:
        passed.clear()
        found = saat.attack("mainstay", network, IMAGES, LABELS, DATA, steps=4, restarts=restarts)
        return found, sum(passed)

    (one, few), (five, many) = attacked(1), attacked(5)
    assert many - few >= 4 * 4 * len(IMAGES)
    assert (five.ap <= one.ap).all()
    assert set(five.restart.tolist()) > {0}


def run(
    attack: Any = "hag", model: Any = None, x: Any = IMAGES, y: Any = LABELS, **more: Any
) -> Any:
    return saat.attack(attack, model or toy.toy_network(), x, y, DATA, **{"steps": 1, **more})


def evaluate(*arguments: Any) -> saat.Evaluation:
    return saat.evaluate(*arguments)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: run("hga"), "attack 'hga': one of mainstay, "),
        (lambda: run("hagg"), "did you mean hag?"),
        (lambda: run(HAG), "attack: HAG; the name of an attack, or one such as HAG(steps=20)"),
        (lambda: run(restarts=0), "hag.restarts: 0: an integer from 1 to 1000"),
        (lambda: run(steps=2.5), "hag.steps: 2.5: an integer from 1 to"),
        (lambda: run(HAG(step_size=-1.0)), "hag.step_size: -1.0: a number from"),
        (lambda: run(eps=8), "eps 8: 0 to 1 in linf; pixels lie in [0, 1], so 8 of 255 levels"),
        (lambda: run(eps=np.nan), "eps nan"),
        (lambda: run(norm="linff"), "norm 'linff': one of linf, l2, l1; did you mean linf?"),
        (lambda: run(x=IMAGES.float()), "images: values from"),
        (lambda: run(x=IMAGES[:, :2]), "images: shape (6, 2, 16, 16); must be (N, 3, H, W)"),
        (lambda: run(y=LABELS[:5]), "labels: 5 rows; images has 6"),
        (lambda: run(y=LABELS[:, :2]), "labels: 2 classes; data has 3"),
        (lambda: run(y=LABELS * 3), "labels: 3; must be 0 or 1"),
        (lambda: run(y=LABELS.argmax(1)), "labels: shape (6,)"),
        (lambda: run(top_k=161), "top_k 161: 1 to 160, the size of the database"),
        (
            lambda: run(model=toy.toy_network().to("meta")),
            "model: its weights are on the device meta",
        ),
        (lambda: saat.evaluate(toy.toy_network(), DATA, battery="cor"), "did you mean core?"),
        (lambda: evaluate("model", DATA), "model: str; must be a torch.nn.Module"),
        (lambda: evaluate(toy.toy_network(), IMAGES), "data: Tensor; must be a saat.Retrieval"),
        (lambda: evaluate(toy.toy_network(), DATA, "core"), "protocol: str; must be a saat.Proto"),
        (lambda: evaluate(toy.toy_network(), DATA, saat.Protocol(eps=8)), "eps 8: 0 to 1 in linf"),
        (
            lambda: evaluate(toy.toy_network(), DATA, saat.Protocol(["hag"])),  # type: ignore[arg-type]
            "protocol.attacks: must be a mapping",
        ),
        (lambda: saat.attack("hag", toy.toy_network(), IMAGES, LABELS, 3), "data: int; must be"),  # type: ignore[arg-type]
        (lambda: saat.train(DATA, hashing="dhp"), "hashing 'dhp': one of dph, "),
        (lambda: saat.train(DATA, backbone="alex"), "did you mean alexnet?"),
        (lambda: saat.train(DATA, defense="sat"), "defense 'sat': one of none, saat, "),
        (lambda: saat.train(DATA, bits=0), "bits: 0: an integer from 1 to 4096"),
        (lambda: saat.train(DATA, epochs=0), "defense.epochs: 0: an integer from 1 to"),
        (lambda: saat.train(DATA, options={"lamda": 1}), "did you mean lambda?"),
        (lambda: saat.train(DATA, options={"lambda": "1"}), "defense.lambda: '1': a number from"),
        (lambda: saat.train(DATA, pretrain_options={"lr": -1}), "pretrain.lr: -1: a number from"),
        (lambda: saat.train(DATA, defense="none", epochs=3), "defense: none has no epochs"),
        (lambda: saat.train(DATA, device="cdua"), "device cdua: "),
        (lambda: saat.train(DATA, backbone="vgg11"), "image_size 16: vgg11 needs at least 32"),
        (lambda: saat.load("/nowhere/model"), "/nowhere/model: no such file; a trial's folder"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(call: Callable[[], Any], expected: str) -> None:
    message = toy.raised(call, saat.InputError)
    assert expected in message
    assert "\n" not in message


def test_training_can_be_watched_and_leaves_the_global_generator_alone() -> None:
    told: list[tuple[str, int, int]] = []
    before = torch.get_rng_state()
    network = saat.train(
        DATA,
        bits=8,
        pretrain_epochs=2,
        epochs=1,
        options={"steps": 1},
        device="cpu",
        progress=lambda *update: told.append(update),
    )
    assert told == [("pretrain", 1, 2), ("pretrain", 2, 2), ("saat", 1, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert saat.train(DATA, defense="none", pretrain_epochs=0, bits=8).training is False


USER_SCRIPT = """
import torch
import saat
from saat.attacks import ApgdMainstay, SDHA, Attack
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import DPH, HashingObjective

attack: Attack = SDHA(steps=3)
data = saat.RetrievalData.named("digits_mini", image_size=16)
network = saat.train(data, bits=16)
found: saat.Evaluation = saat.evaluate(network, data, saat.Protocol({"sdha": attack}))
images, labels = data.batch(data.test), data.label_tensor(data.test)
adversarial: torch.Tensor = saat.attack(attack, network, images, labels, data).images
loaded: torch.nn.Module = saat.load("trial")
print(found, ApgdMainstay, SaatSettings, SaatTraining, DPH, HashingObjective)
saat.evaluat  # an error
"""


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # without a cache mypy reads all of torch
def test_a_users_script_passes_a_strict_type_check(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(USER_SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-warn-unused-ignores", str(script)],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 2, done.stdout + done.stderr
    assert 'Module has no attribute "evaluat"' in lines[0]
    for package in ("saat", "harness", "reports"):
        module = importlib.import_module(package)
        assert (importlib.resources.files(module) / "py.typed").is_file()
