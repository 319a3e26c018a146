"""Experiment files: what is accepted means the same after every round trip."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.catalogue import derived
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, longest_training, undefended
from harness.experiment.file import load_experiment
from harness.experiment.published import paper_defaults
from harness.experiment.resolve import resolve_experiment
from harness.experiment.sections import PRETRAIN_MODEL, defense_model
from harness.experiment.space import Dimension, suggest
from harness.journal.protocol_identity import changed_versions, protocol_hash
from harness.journal.state import config_hash
from harness.trial.pretrained import pretrained_key
from saat.attacks import ATTACKS, Attack
from saat.attacks.noise import Noise
from saat.battery import BATTERIES
from saat.errors import InputError
from saat.metrics import METRICS
from saat.reliability import GATES
from saat.versions import FORMULA_VERSIONS
from tests.harness.tiny import TINY, tiny, tiny_raw

SPACES = sorted(Path("search_spaces").glob("*.yaml"))
EVERYTHING = {
    "seed": 7,
    "space": {
        "defense.method": {"choice": ["saat", "none"]},
        "model.bits": {"choice": [16, 32, 64]},
        "pretrain.lr": {"float": ["1e-3", 0.3], "log": True},
        "defense.eps": {"float": ["2/255", "16/255"], "when": {"defense.method": "saat"}},
        "defense.steps": {"int": [1, 9], "step": 2, "when": {"defense.method": ["saat"]}},
        "defense.step_size": {"choice": ["auto", 0.01], "when": {"defense.method": "saat"}},
        "defense.mu": {"float": [0, 1], "step": 0.25, "when": {"defense.method": "saat"}},
    },
    "constraints": {"val/clean_map": {"at_least": "1/2"}},
    "search.max_concurrent": 2,
    "evaluation.ties": "stable",
}


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_a_dump_loads_to_the_same_experiment(changes: dict[str, Any]) -> None:
    experiment = tiny(changes)
    dump = experiment.dump()
    assert resolve_experiment(json.loads(json.dumps(dump)), "dump") == experiment
    text = yaml.safe_dump(dump, sort_keys=False, allow_unicode=True)
    again = resolve_experiment(yaml.safe_load(text), "dump")
    assert again == experiment
    assert list(again.space) == list(experiment.space)


def test_a_fraction_among_choices_and_conditions_is_a_number() -> None:
    """The one that settings have; the paper's default is found among the choices then."""
    space = {
        "defense.eps": {"choice": ["4/255", "8/255"]},
        "defense.step_size": {"choice": ["auto", "2/255"]},
        "defense.mu": {"float": [0, 1], "when": {"defense.eps": ["8/255"]}},
        "defense.steps": {"int": [1, 9], "when": {"defense.eps": "4/255"}},
    }
    experiment = tiny({"space": space})
    found = experiment.space
    assert found["defense.eps"].choice == [4 / 255, 8 / 255]
    assert found["defense.step_size"].choice == ["auto", 2 / 255]
    assert [found[key].when for key in ("defense.mu", "defense.steps")] == [
        {"defense.eps": [8 / 255]},
        {"defense.eps": 4 / 255},
    ]
    config = config_at(experiment, {"defense.eps": found["defense.eps"].choice[0]}).flat()
    assert all(found[key].contains(config[key]) for key in ("defense.eps", "defense.step_size"))
    assert not found["defense.mu"].applies(config)
    assert found["defense.steps"].applies(config)
    assert resolve_experiment(json.loads(json.dumps(experiment.dump())), "dump") == experiment


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.name)
def test_every_search_space_that_ships_is_valid(path: Path) -> None:
    experiment, notes = load_experiment(path)
    assert notes == []
    assert resolve_experiment(experiment.dump(), "dump") == experiment
    assert path.read_text().startswith("# "), "saat list spaces shows the first comment"


def test_there_are_search_spaces() -> None:
    assert SPACES


@pytest.mark.parametrize(
    ("written", "number"),
    [("8/255", 8 / 255), ("1e-4", 1e-4), (1, 1.0), (0.5, 0.5), ("0/3", 0), ("-0/3", 0), (-0.0, 0)],
)
def test_fractions_are_numbers(written: Any, number: float) -> None:
    experiment = tiny({"defense.eps": written, "evaluation.eps": written})
    assert experiment.defense.model_dump()["eps"] == number
    assert experiment.evaluation.eps == number
    assert str(experiment.evaluation.eps)[0] != "-", "a negative zero would have another hash"


@pytest.mark.parametrize("name", ["pretrained2", "mlartifacts-2", "mlflow", "a.b", "a"])
def test_a_name_that_only_begins_like_a_folder_of_saats_own_is_free(name: str) -> None:
    assert tiny({"name": name}).name == name


def test_a_setting_is_the_experiments_own_but_for_the_point() -> None:
    experiment = tiny()
    own = config_at(experiment, {})
    point = {"defense.lambda": 3.5, "model.bits": 64, "defense.step_size": "auto"}
    changed = config_at(experiment, point)
    assert changed.flat() == own.flat() | point
    assert changed.data == own.data
    assert TrialConfig.model_validate(json.loads(json.dumps(changed.dump()))) == changed


@pytest.mark.parametrize(
    ("point", "named"),
    [
        ({"defense.lamda": 1}, "defense.lamda: unknown key; did you mean lambda?"),
        ({"defense.eps": 2.0}, "defense.eps: 2.0: at most 1"),
        ({"model.bits": 16.0}, "model.bits: 16.0: a whole number"),
        ({"defense.method": "foo"}, "defense.method: foo: one of none, saat"),
        ({"model.backbone": "alexnet"}, "data.image_size 16: alexnet needs at least 63"),
    ],
)
def test_a_point_that_is_no_setting_is_refused(point: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as caught:
        config_at(tiny(), point)
    assert named in str(caught.value)


def test_the_papers_default_is_the_published_setting_at_every_bit_length() -> None:
    published = {
        "defense.lambda": 1.0,
        "defense.mu": 1e-4,
        "defense.eps": 8 / 255,
        "defense.steps": 7,
        "defense.step_size": 2 / 255,
    }
    assert paper_defaults(tiny({"defense.lambda": 5.0, "defense.steps": 2})) == [published]
    lengths = {"model.bits": {"choice": [64, 16]}}
    assert paper_defaults(tiny({"space": lengths})) == [
        {"model.bits": 16, **published},
        {"model.bits": 64, **published},
    ]
    assert paper_defaults(tiny({"defense": {"method": "none"}, "space": {}})) == []


def test_the_file_of_the_papers_training_has_the_published_settings() -> None:
    """As they stand in the file, not only in the first trial of its search."""
    experiment, _ = load_experiment(Path("search_spaces/saat_lambda_mu.yaml"))
    own = config_at(experiment, {})
    assert own.defense.model_dump() == defense_model("saat")().model_dump()
    assert own.dump()["pretrain"] == PRETRAIN_MODEL().model_dump()


def test_the_undefended_model_is_pretrained_as_the_defended_one() -> None:
    config = config_at(tiny(), {})
    bare = undefended(config)
    assert bare.defense.model_dump() == {"method": "none"}
    assert bare.model == config.model
    assert pretrained_key(bare, "data", 0) == pretrained_key(config, "data", 0)


def test_the_pretrained_model_depends_on_what_pretraining_sees_alone() -> None:
    experiment = tiny()
    own = pretrained_key(config_at(experiment, {}), "data", 0)
    for point in ({"defense.lambda": 9.0}, {"defense.eps": 0.1}, {"defense.steps": 3}):
        assert pretrained_key(config_at(experiment, point), "data", 0) == own
    for point in ({"model.bits": 8}, {"pretrain.lr": 0.1}, {"pretrain.epochs": 3}):
        assert pretrained_key(config_at(experiment, point), "data", 0) != own
    assert pretrained_key(config_at(experiment, {}), "other", 0) != own
    assert pretrained_key(config_at(experiment, {}), "data", 1) != own


def load(path: Path, *overrides: str) -> tuple[Any, list[str]]:
    path.write_text(yaml.safe_dump(tiny_raw()))
    return load_experiment(path, overrides)


def test_overrides_replace_values_and_are_yaml(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    experiment, notes = load(
        file, "defense.eps=4/255", "search.sampler=random", "evaluation.attacks=[hag]", "seed=9"
    )
    assert notes == []
    assert experiment.defense.model_dump()["eps"] == 4 / 255
    assert experiment.search.sampler == "random"
    assert experiment.evaluation.attacks == ["hag"]
    assert experiment.seed == 9


def test_an_override_of_a_searched_key_fixes_it_and_says_so(tmp_path: Path) -> None:
    experiment, notes = load(tmp_path / "e.yaml", "defense.lambda=2")
    assert notes == ["--set defense.lambda=2: defense.lambda is no longer searched"]
    assert experiment.space == {}
    assert experiment.defense.model_dump()["lambda"] == 2.0


def test_an_override_forgets_the_guesses_of_keys_that_are_searched_no_more() -> None:
    path = Path(__file__).parents[2] / "search_spaces" / "voc2007.yaml"
    whole, _ = load_experiment(path)
    fixed, _ = load_experiment(path, ["defense.lambda=2"])
    assert set(whole.search.prior) - set(fixed.search.prior) == {"defense.lambda"}
    assert load_experiment(path, ["space={}"])[0].search.prior == {}
    with pytest.raises(InputError, match=r"search.prior.defense.gamma: not searched"):
        load_experiment(path, ["search.prior={defense.gamma: {value: 1, confidence: 0.5}}"])


def test_an_override_can_change_the_space_itself(tmp_path: Path) -> None:
    experiment, _ = load(tmp_path / "e.yaml", "space.defense.steps={int: [1, 3]}")
    assert list(experiment.space) == ["defense.lambda", "defense.steps"]
    assert experiment.space["defense.steps"].bounds == (1, 3)


def test_an_override_of_the_path_replaces_the_name(tmp_path: Path) -> None:
    experiment, _ = load(tmp_path / "e.yaml", f"data.path={tmp_path}")
    assert (experiment.data.name, experiment.data.path) == (None, str(tmp_path))


points = st.builds(
    lambda seed: optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(),
    st.integers(0, 2**31),
)


@given(points, st.sampled_from([EVERYTHING, {}]))
def test_any_point_of_a_space_is_a_valid_setting(
    trial: optuna.Trial, changes: dict[str, Any]
) -> None:
    experiment = tiny(changes)
    base = config_at(experiment, {}).flat()
    point = suggest(trial, experiment.space, base)
    config = config_at(experiment, point)
    assert {key: config.flat()[key] for key in point} == point
    assert all(experiment.space[key].contains(value) for key, value in point.items())
    defended = point.get("defense.method", "saat") == "saat"
    assert ("defense.steps" in point) == (defended and bool(changes))


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A section and those within it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sections(part)


def test_every_number_of_the_file_has_a_smallest_and_a_largest_value() -> None:
    """But for a dimension, whose ends are bounded by its key."""
    numbers = 0
    for model in {*sections(Experiment)} - {Dimension}:
        kinds = model.model_json_schema().get("properties", {})
        for name, schema in kinds.items():
            for kind in schema.get("anyOf", [schema]):
                if kind.get("type") in ("integer", "number") and "const" not in kind:
                    numbers += 1
                    ends = [{"minimum", "ge"} & set(kind), {"maximum", "le"} & set(kind)]
                    assert all(ends), (model.__name__, name)
    assert numbers > 20


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return value


def test_the_config_hash_knows_neither_seed_nor_the_order_of_keys() -> None:
    own = config_hash(config_at(tiny(), {}), "data")
    assert config_hash(config_at(tiny({"seed": 5}), {}), "data") == own
    assert config_hash(config_at(resolve_experiment(reversed_keys(TINY), "e"), {}), "data") == own
    assert config_hash(config_at(tiny({"defense.eps": "8/255"}), {}), "data") == own
    assert config_hash(config_at(tiny({"evaluation.steps": 9}), {}), "data") == own


@pytest.mark.parametrize(
    "point",
    [{"defense.lambda": 1.5}, {"model.bits": 8}, {"pretrain.momentum": 0.5}, {"defense.lr": 0.01}],
)
def test_the_config_hash_depends_on_every_key_of_the_setting(point: dict[str, Any]) -> None:
    own: TrialConfig = config_at(tiny(), {})
    changed = config_at(tiny(), point)
    assert config_hash(changed, "data") != config_hash(own, "data")
    assert config_hash(own, "other") != config_hash(own, "data")


def test_the_protocol_hash_depends_on_evaluation_and_data() -> None:
    def of(changes: dict[str, Any], data: str = "data") -> str:
        return protocol_hash(tiny(changes), data)

    same = [of({}), of({"seed": 3}), of({"defense.eps": 0.1}), of({"validation.steps": 5})]
    assert len(set(same)) == 1
    others = [
        of({"evaluation.steps": 3}),
        of({"evaluation.norm": "l2"}),
        of({"confirm.battery": "core"}),
        of({"evaluation.eps": 0.1}),
        of({"evaluation.top_k": 99}),
        of({"evaluation.ties": "stable"}),
        of({"evaluation.attacks": ["hag"]}),
        of({}, "other"),
    ]
    assert len({same[0], *others}) == len(others) + 1


_OF_CORE = {"apgd_mainstay": 2, "apgd_smoothap": 2, "noise": 2, "battery.core": 2}
_OF_FULL = {
    **dict.fromkeys(("apgd_mainstay", "apgd_margin", "apgd_smoothap", "noise"), 2),
    **dict.fromkeys(("apgd_mainstay_targeted", "apgd_margin_targeted"), 2),
    "apgd_smoothap_targeted": 2,
    **dict.fromkeys(("masked_mainstay", "multi_target", "mainstay", "hag", "sdha"), 2),
    "battery.full": 3,
}


@pytest.mark.parametrize(
    ("changes", "versions"),
    [
        ({"evaluation.attacks": ["bim", "hag"]}, {"hag": 2}),
        ({"evaluation.attacks": ["bim", "sdha"]}, {"sdha": 2}),
        ({"evaluation.attacks": ["mainstay"]}, {"mainstay": 2}),
        ({"evaluation.attacks": ["bim"]}, {}),
        ({"evaluation.attacks": ["bim"], "confirm.battery": "core"}, _OF_CORE),
        ({"evaluation.attacks": ["bim"], "confirm.battery": "full"}, _OF_FULL),
        (
            {"evaluation.attacks": ["bim"], "confirm.battery": "exhaustive"},
            {**{n: v for n, v in _OF_FULL.items() if n != "battery.full"}, "battery.exhaustive": 2},
        ),
    ],
)
def test_the_protocol_hash_has_the_versions_of_formulas(
    changes: dict[str, Any], versions: dict[str, int]
) -> None:
    protocol = tiny(changes)
    assert changed_versions(protocol) == versions
    assert protocol_hash(protocol, "d") == protocol_hash(protocol, "d", versions)
    assert (protocol_hash(protocol, "d") != protocol_hash(protocol, "d", {})) == bool(versions)


def raised(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a formula its next version."""
    if kind == "attack":
        kinds: type[Attack] = Noise if name == "noise" else ATTACKS[name]
        monkeypatch.setattr(kinds, "version", kinds.version + 1)
    elif kind == "gate":
        later = {**GATES, name: GATES[name]._replace(version=2)}
        monkeypatch.setattr("saat.versions.GATES", later)
    elif kind == "battery":
        battery = replace(BATTERIES[name], version=BATTERIES[name].version + 1)
        monkeypatch.setattr("saat.versions.BATTERIES", {**BATTERIES, name: battery})
    elif kind == "metric":
        metrics = {**METRICS, name: replace(METRICS[name], version=2)}
        monkeypatch.setattr("saat.versions.METRICS", metrics)
    else:
        monkeypatch.setitem(FORMULA_VERSIONS, name, 2)
    monkeypatch.setattr("harness.journal.protocol_identity.catalogue", derived)


@pytest.mark.parametrize(
    ("kind", "name", "counts"),
    [
        ("attack", "hag", True),
        ("attack", "apgd_smoothap", True),  # of the battery
        ("attack", "square", True),
        ("attack", "noise", True),
        ("attack", "tha", False),  # of neither
        ("gate", "floor", True),
        ("battery", "core", True),
        ("metric", "robust_map", True),
        ("formula", "average_precision", True),
    ],
)
def test_another_version_of_what_a_protocol_runs_is_another_protocol(
    kind: str, name: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = tiny({"confirm.battery": "core"})
    before = protocol_hash(protocol, "data")
    raised(kind, name, monkeypatch)
    assert (protocol_hash(protocol, "data") != before) == counts


@pytest.mark.parametrize(
    ("data", "battery"),
    [
        ({"name": "digits"}, "core"),
        ({"name": "digits100"}, "core"),
        ({"name": "flickr25k", "root": "/data"}, "full"),
        ({"path": "/data/voc2007"}, "full"),
    ],
)
def test_real_data_are_confirmed_with_the_full_battery_unless_the_file_says_otherwise(
    data: dict[str, str], battery: str
) -> None:
    raw = {"schema_version": 1, "name": "x", "data": data}
    assert resolve_experiment(raw, "x").confirm.battery == battery
    chosen = resolve_experiment({**raw, "confirm": {"battery": "none", "seeds": 2}}, "x").confirm
    assert (chosen.battery, chosen.seeds) == ("none", 2)


@pytest.mark.parametrize(
    ("space", "epochs"),
    [
        ({"defense.lambda": {"float": [1, 2]}}, 20),
        ({"defense.epochs": {"int": [2, 6]}}, 6),
        ({"defense.method": {"choice": ["saat", "cgat"]}}, 30),  # CgAT's own, as published
        (
            {
                "model.bits": {"choice": [16, 32]},
                "defense.epochs": {"int": [2, 4], "when": {"model.bits": 16}},
            },
            20,
        ),
    ],
)
def test_the_longest_training_is_that_of_some_setting(space: dict[str, Any], epochs: int) -> None:
    assert longest_training(tiny({"defense.epochs": 20, "space": space})) == epochs
