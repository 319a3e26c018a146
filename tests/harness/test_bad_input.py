"""A table of wrong inputs: status 2, one line that names the mistake, and nothing was started."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock

from harness.__main__ import main
from harness.experiment.configs import config_at
from harness.files import write_text
from saat import tensor_file
from saat.data import RetrievalData
from saat.models import build_network
from tests.harness.fakes import experiment, finished
from tests.harness.tiny import tiny, tiny_raw

NAN, INF = float("nan"), float("inf")
# Every test runs in the folder that the fixture ``world`` makes.
RUNS, WRONG = Path("runs"), Path("wrong.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid experiment, a finished search, a model, and what is wrong with them."""
    root = tmp_path_factory.mktemp("world")
    # Composing them is a line of its own.
    RetrievalData.named("digits_mini", image_size=16, val_queries=40)
    (root / "tiny.yaml").write_text(yaml.safe_dump(tiny_raw()))
    (root / "file.txt").write_text("hello")
    searched = experiment(name="done")
    finished(root / "runs" / "done", searched)
    text = yaml.safe_dump(searched.dump(), sort_keys=False)
    write_text(root / "runs" / "done" / "experiment.yaml", text)
    (root / "narrow" / "CIFAR-10").mkdir(parents=True)
    for split in ("train", "test", "database"):
        (root / "narrow" / "CIFAR-10" / f"{split}.txt").write_text(f"{split}.png 0 1\n")
    (root / "runs" / "taken").mkdir()
    (root / "runs" / "empty").mkdir()
    write_text(root / "runs" / "empty" / "experiment.yaml", text)
    _models(root)
    _stores(root)
    return root


def _stores(root: Path) -> None:
    """SQLite files of other versions of MLflow, one that is none, and a folder of other things."""
    for name, version in (("old", "cbc13b556ace"), ("new", "ffffffffffff")):
        (root / name).mkdir()
        with closing(sqlite3.connect(root / name / "mlflow.db")) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.execute(f"INSERT INTO alembic_version VALUES ('{version}')")
            connection.commit()
    (root / "kept").mkdir()
    (root / "kept" / "notes.txt").write_text("mine")


def _models(root: Path) -> None:
    config = config_at(tiny(), {}).dump()
    network = build_network("small_cnn", "none", 16, 16, 0)
    tensors = tensor_file.prefixed("network", network.state_dict())
    meta = {
        "setting": config,
        "seed": 0,
        "evaluation": tiny().evaluation.model_dump(),
        "data_fingerprint": "of another set",
    }
    good = root / "model.safetensors"
    tensor_file.save(good, tensors, meta)
    (root / "truncated").write_bytes(good.read_bytes()[:-50])
    torch.save({"a": tensors["network.mean"]}, root / "pickle")
    tensor_file.save(root / "unknown", tensors, {"stage": "pretrain"})
    other = {**config, "model": {**config["model"], "bits": 8}}
    tensor_file.save(root / "other_bits", tensors, {**meta, "setting": other})
    tensor_file.save(root / "no_setting", tensors, {**meta, "setting": {"data": 1}})
    tensor_file.save(root / "no_protocol", tensors, {**meta, "evaluation": {"top_q": 1}})


@pytest.fixture(autouse=True)
def in_the_world(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(world)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def tree(folder: Path) -> dict[str, int]:
    """Every file with its time of change; the lock of a driver is no content."""
    paths = [path for path in folder.rglob("*") if path.name != ".driver.lock"]
    return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()} | {
        str(path): 0 for path in paths if path.is_dir()
    }


def refused(capsys: Any, *arguments: object) -> str:
    """Run the command; what it says on its one line."""
    before = tree(RUNS)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    check_line(ended.value.code, out, err)
    assert tree(RUNS) == before
    return str(err).strip()


def check_line(status: object, out: str, err: str) -> None:
    assert status == 2, err
    assert "Traceback" not in out + err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("saat: ")
    assert len(lines[0]) > 12
    assert len(lines[0]) < 520


LAMBDA, STEPS, BITS = "space.defense.lambda", "space.defense.steps", "space.model.bits"


def one(key: str, dimension: Any) -> dict[str, Any]:
    return {"space": {key.removeprefix("space."): dimension}}


MAPS = {"val/clean_map": "max", "val/robust_map": "max"}
T_MAP = {"val/target_map": "min"}
T_MAP_BOUND = {"val/target_map": {"at_most": 0.5}}


def asha(scalarisation: Any) -> dict[str, Any]:
    keys = {"scheduler": "asha", "scalarisation": scalarisation, "margin": None}
    return {f"search.{key}": value for key, value in keys.items()}


# What the file has in place of the tiny experiment's own, and what the line must contain.
FILES: list[tuple[dict[Any, Any], tuple[str, ...]]] = [
    ({"nam": 1}, ("nam: unknown key", "did you mean name?")),
    ({"search.num_sample": 1}, ("search.num_sample", "did you mean num_samples?")),
    ({"defense.lamda": 1}, ("defense.lamda", "did you mean lambda?")),
    ({"pretrain.learning": 1}, ("pretrain.learning", "unknown key")),
    ({"data.imagesize": 1}, ("data.imagesize", "did you mean image_size?")),
    ({"model.bit": 1}, ("model.bit", "did you mean bits?")),
    ({"confirm.seed": 1}, ("confirm.seed", "did you mean seeds?")),
    ({"validation.query": 1}, ("validation.query", "did you mean queries?")),
    ({"evaluation.topk": 1}, ("evaluation.topk", "did you mean top_k?")),
    ({"resources.gpu_per_trial": 1}, ("resources.gpu_per_trial", "did you mean gpus_per_trial?")),
    ({"resources.memory": 1}, ("resources.memory", "cpus_per_trial, gpus_per_trial")),
    ({"ключ": 1}, ("ключ: unknown key",)),
    ({1: 2}, ("1:", "keys are texts")),
    ({"model": {1: 2}}, ("model.1", "keys are texts")),
    ({"schema_version": 2}, ("schema_version", "2", "one of 1")),
    ({"schema_version": "1"}, ("schema_version", "'1'", "one of 1")),
    ({"name": "a/b"}, ("name: 'a/b'", "letters, digits")),
    ({"name": "../escape"}, ("name: '../escape'",)),
    ({"name": ""}, ("name: ''",)),
    ({"name": "naïve"}, ("name: 'naïve'",)),
    ({"name": "a\n"}, ("name: 'a\\n'",)),
    ({"name": 5}, ("name: 5", "a text")),
    *[
        ({"name": taken}, ("name", "saat itself has in a folder of runs; another name"))
        for taken in ("mlflow.db", "MLflow.DB", "mlflow.db-wal", "pretrained", "mlartifacts")
    ],
    ({"name": "tiny."}, ("name", "ends with a dot")),
    ({"compare": {"a ": {}}}, ("compare.a", "no space or dot at its end")),
    ({"name": "a\u202eb"}, ("name: ", "\\u202e")),
    ({"name": ".hidden"}, ("name: '.hidden'",)),
    ({"name": "tiny "}, ("name: 'tiny '",)),
    ({"seed": -1}, ("seed: -1", "at least 0")),
    ({"seed": 1.5}, ("seed: 1.5", "whole number")),
    ({"seed": 10**30}, ("seed", "2**53")),
    ({"data": None}, ("data: None", "a section")),
    ({"data": "digits"}, ("data: 'digits'", "a section")),
    ({"data": {}}, ("data", "exactly one of name and path")),
    ({"data.path": "/data"}, ("data", "exactly one of name and path")),
    ({"data.name": "digit"}, ("'digit'", "one of digits")),
    ({"data.name": "flickr"}, ("'flickr'", "did you mean flickr25k?")),
    ({"data.root": "/data"}, ("data", "root '/data'", "digits_mini is embedded")),
    ({"data": {"path": "/nowhere", "root": "/data"}}, ("data", "root '/data'", "only with name")),
    ({"data": {"root": "/data"}}, ("data", "exactly one of name and path")),
    ({"data": {"name": "mscoco", "root": 3}}, ("data.root: 3", "a text")),
    ({"data": {"name": "mscoco"}}, ("mscoco not found", "SAAT_DATA", "MS-COCO")),
    (
        {"data": {"name": "flickr25k", "root": "/nowhere/at/all"}},
        ("flickr25k not found: looked in /nowhere/at/all/FLICKR-25K", "mirflickr"),
    ),
    (
        {"data": {"name": "cifar10", "root": "narrow", "image_size": 16}},
        ("narrow/CIFAR-10: its lists have 2 labels per image; cifar10 has 10",),
    ),
    ({"data.name": ["digits"]}, ("data.name", "['digits']", "a text")),
    ({"data": {"path": "/nowhere/at/all"}}, ("/nowhere/at/all",)),
    ({"data.image_size": "big"}, ("data.image_size: 'big'", "whole number")),
    ({"data.image_size": 15}, ("data.image_size 15", "at least 16")),
    ({"data.val_queries": 0}, ("data.val_queries: 0", "at least 1")),
    ({"data.resize": "zoom"}, ("data.resize: 'zoom'", "squash")),
    ({"data.resize": "crop"}, ("resize", "'crop'", "squash")),
    ({"model.backbone": "resnet"}, ("model.backbone: 'resnet'", "small_cnn")),
    ({"model.backbone": "alexnet"}, ("data.image_size 16", "alexnet needs at least 63")),
    ({"model.weights": "/no/such.pt"}, ("model.weights /no/such.pt",)),
    ({"model.weights": 3}, ("model.weights: 3", "a text")),
    (
        {"model.backbone": "alexnet", "model.weights": "/no/such.pt", "data.image_size": 64},
        ("model.weights /no/such.pt", "no such file"),
    ),
    ({"model.hashing": "dhp"}, ("model.hashing: 'dhp'", "'dph'", "did you mean dpn?")),
    ({"model.bits": "32"}, ("model.bits: '32'", "whole number")),
    ({"model.bits": True}, ("model.bits: True", "whole number")),
    ({"model.bits": 5000}, ("model.bits: 5000", "at most 4096")),
    ({"pretrain": 3}, ("pretrain: 3", "a section")),
    ({"pretrain": None}, ("pretrain: None", "a section")),
    ({"pretrain.lr": 0}, ("pretrain.lr: 0", "at least 1e-09")),
    ({"pretrain.momentum": 1.5}, ("pretrain.momentum: 1.5", "at most 1")),
    ({"pretrain.epochs": 10**30}, ("pretrain.epochs: 1000", "at most 100000")),
    ({"defense": None}, ("defense: None", "a section")),
    ({"defense.method": "sat"}, ("defense.method: sat", "none, saat", "did you mean saat?")),
    ({"defense.method": ["saat"]}, ("defense.method: ['saat']", "none, saat")),
    ({"defense.method": None}, ("defense.method: None",)),
    ({"defense": {"method": "none", "eps": 0.1}}, ("defense.eps", "unknown key")),
    ({"defense.eps": "8/0"}, ("defense.eps: '8/0'", "a number")),
    ({"defense.eps": "8/255/2"}, ("defense.eps: '8/255/2'",)),
    ({"defense.eps": "eight"}, ("defense.eps: 'eight'",)),
    ({"defense.eps": 8}, ("defense.eps: 8", "at most 1")),
    ({"defense.eps": NAN}, ("defense.eps: nan", "finite")),
    ({"defense.lambda": INF}, ("defense.lambda: inf", "finite")),
    ({"defense.lr": "1e400"}, ("defense.lr: inf", "finite")),
    ({"defense.steps": 0}, ("defense.steps: 0", "at least 1")),
    ({"defense.steps": 1.5}, ("defense.steps: 1.5", "whole number")),
    (
        {"defense.step_size": "atuo"},
        ("step_size: 'atuo'", "a number or one of 'auto'; did you mean auto?"),
    ),
    ({"defense.weights": "cga"}, ("defense.weights: 'cga'", "cgat")),
    ({"space": None}, ("space: None", "a section")),
    ({"space": [1]}, ("space: [1]", "a section")),
    ({"space": {1: 2}}, ("space.1", "a text")),
    (one("space.defense.lamda", {"float": [1, 2]}), ("space.defense.lamda", "did you mean lambda")),
    (one("space.evaluation.eps", {"float": [0, 1]}), ("space.evaluation.eps", "model, pretrain")),
    (one("space.bits", {"int": [1, 2]}), ("space.bits", "model, pretrain, defense")),
    (one("space.defense.", {"int": [1, 2]}), ("space.defense.", "unknown key")),
    (one(LAMBDA, {"flaot": [1, 2]}), (f"{LAMBDA}.flaot", "did you mean float?")),
    (one(LAMBDA, {"float": [2, 1]}), (LAMBDA, "2.0", "above the upper bound 1.0")),
    (one(LAMBDA, {"float": [0, 1], "log": True}), (LAMBDA, "log needs a lower bound above 0")),
    (one(LAMBDA, {"float": [0, 1], "choice": [1]}), (LAMBDA, "exactly one of choice, float")),
    (one(LAMBDA, {}), (LAMBDA, "exactly one of choice, float, int")),
    (one(LAMBDA, None), (f"{LAMBDA}: None", "a section")),
    (one(LAMBDA, {"float": [1]}), (f"{LAMBDA}.float: [1]", "at least 2")),
    (one(LAMBDA, {"float": [1, 2, 3]}), (f"{LAMBDA}.float: [1, 2, 3]", "at most 2")),
    (one(LAMBDA, {"float": ["a", 1]}), (f"{LAMBDA}.float.0: 'a'", "a number")),
    (one(LAMBDA, {"float": [1, NAN]}), (f"{LAMBDA}.float.1: nan", "finite")),
    (one(LAMBDA, {"float": [-1, 1]}), (LAMBDA, "-1.0", "at least 0")),
    (one(LAMBDA, {"choice": []}), (f"{LAMBDA}.choice: []", "at least 1")),
    (one(LAMBDA, {"choice": [1.0, 1.0]}), (LAMBDA, "1.0 is named twice")),
    (one(LAMBDA, {"choice": [1, 1.0]}), (LAMBDA, "named twice")),
    (one(LAMBDA, {"choice": [[1]]}), (f"{LAMBDA}.choice.0: [1]", "a number")),
    (one(LAMBDA, {"choice": [1], "log": True}), (LAMBDA, "log and step")),
    (one("space.defense.eps", {"float": [0, 2]}), ("space.defense.eps", "2.0", "at most 1")),
    (one(STEPS, {"float": [1, 3]}), (STEPS, "1.0", "whole number")),
    (one(STEPS, {"int": [0, 3]}), (STEPS, "0", "at least 1")),
    (one(STEPS, {"int": [1.5, 3]}), (f"{STEPS}.int.0: 1.5", "whole number")),
    (one(STEPS, {"int": [1, 10**30]}), (STEPS, "2**53")),
    (one(STEPS, {"int": [1, 4], "step": 0.5}), (STEPS, "0.5", "whole number")),
    (one(STEPS, {"int": [1, 4], "step": 0}), (f"{STEPS}.step: 0", "above 0")),
    (one(BITS, {"choice": [16, "a"]}), (BITS, "'a'", "whole number")),
    (one("space.model.backbone", {"choice": ["vgg"]}), ("space.model.backbone", "'vgg'")),
    (
        one("space.defense.method", {"choice": ["saat", "foo"]}),
        ("space.defense.method", "foo", "none, saat"),
    ),
    (
        one(LAMBDA, {"float": [1, 2], "when": {"defense.methd": "saat"}}),
        (f"{LAMBDA}.when.defense.methd", "did you mean defense.method?"),
    ),
    (
        one(LAMBDA, {"float": [1, 2], "when": {"defense.steps": 99}}),
        (f"{LAMBDA}.when.defense.steps: 99", "never so"),
    ),
    (one(LAMBDA, {"float": [1, 2], "when": {"model.bits": []}}), (f"{LAMBDA}.when.model.bits",)),
    (one(LAMBDA, {"float": [1, 2], "when": 3}), (f"{LAMBDA}.when: 3", "a section")),
    (
        {
            "space": {
                "defense.lambda": {"float": [1, 2], "when": {"model.bits": 16}},
                "model.bits": {"choice": [16, 32]},
            }
        },
        (f"{LAMBDA}.when.model.bits", "before defense.lambda"),
    ),
    (
        {
            "space": {
                "defense.method": {"choice": ["saat", "none"]},
                "defense.steps": {"int": [1, 3]},
            }
        },
        ("space: defense.method=none", "defense.steps: unknown key"),
    ),
    ({"objectives": {"val/clean_map": "max"}}, ("objectives", "at least 2")),
    ({"objectives.val/clean_map": "min"}, ("objectives.val/clean_map", "'min'")),
    ({"objectives.speed": "max"}, ("objectives.speed", "val/clean_map")),
    ({"objectives": {**MAPS, **T_MAP, "val/code_length": "min"}}, ("objectives", "at most 3")),
    ({"objectives": {"val/clean_mpa": "max", **T_MAP}}, ("did you mean val/clean_map?",)),
    ({"objectives": {**MAPS, **T_MAP}}, ("val/target_map: no attack", "add one of mainstay_t")),
    (
        {"objectives": {"val/clean_map": "max", "val/target_map": "max"}},
        ("objectives.val/target_map: 'max': min", "smaller values of worst t-MAP are better"),
    ),
    (
        {"objectives": {"val/clean_map": "max", "val/device_seconds": "min"}},
        ("objectives.val/device_seconds: min", "needs a reference; write {min: 600}"),
    ),
    (
        {"objectives": {**MAPS, "val/device_seconds": {"min": 0}}},
        ("val/device_seconds.min: 0: no result is better",),
    ),
    ({"objectives": {**MAPS, "val/code_length": {"min": "long"}}}, ("'long': a number",)),
    ({"objectives": {**MAPS, "val/robust_map": {"max": 1}}}, ("no result is better",)),
    ({"objectives": {**MAPS, "val/robust_map": {"max": 0, "min": 0}}}, ("val/robust_map: {",)),
    ({"objectives": ["val/clean_map"]}, ("objectives: ['val/clean_map']: a section",)),
    ({"constraints": T_MAP_BOUND}, ("constraints.val/target_map: no attack",)),
    ({"constraints": {"val/code_length": {"at_least": 16}}}, ("at_least: at_most, because",)),
    ({"constraints": {"val/code_length": {"at_most": -1}}}, ("at_most: -1: at least 0",)),
    ({"constraints": {"val/code_length": {}}}, ("constraints.val/code_length.at_most: missing",)),
    ({"search.prior": "papre"}, ("search.prior: 'papre': paper, none", "did you mean paper?")),
    ({"search.prior": 1}, ("search.prior: 1: paper, none, or guesses",)),
    (
        {"search.prior": {"defense.lambda": {"value": 2, "confidence": 1.5}}},
        ("search.prior.defense.lambda.confidence: 1.5: at most 1",),
    ),
    (
        {"search.prior": {"defense.lambda": {"value": 11, "confidence": 1}}},
        ("search.prior.defense.lambda.value: 11: within space, between 0.1, 10",),
    ),
    (
        {"search.prior": {"defense.lambd": {"value": 1, "confidence": 1}}},
        ("search.prior.defense.lambd: not searched", "did you mean defense.lambda?"),
    ),
    ({"search.prefer": {"val/code_length": 1}}, ("one of the objectives val/clean_map",)),
    ({"search.prefer": {"val/clean_map": -1}}, ("val/clean_map: -1: a weight from 0",)),
    (
        {"search.prefer": {"val/clean_map": 1, "val/robust_map": {"at_least": 0.5}}},
        ("search.prefer: weights of all keys, or bounds of all",),
    ),
    ({"search.prefer": {"val/clean_map": 0}}, ("search.prefer: one of the weights is above 0",)),
    ({"search.prefer": {"val/clean_map": {"at_most": 0.5}}}, ("at_most: at_least, because",)),
    (
        {"objectives": {"val/clean_map": "max", "val/code_length": "min"}, **asha("robust")},
        ("search.scalarisation: robust: trials are compared by val/clean_map, val/code_length",),
    ),
    (asha({"val/code_length": 1}), ("scalarisation: val/code_length: trials are compared by",)),
    ({"constraints": {"val/map": {"at_least": 0.5}}}, ("val/map", "val/clean_map")),
    ({"constraints": {"val/clean_map": {"at_least": 60}}}, ("at_least: 60", "at most 1")),
    ({"constraints": {"val/clean_map": {"at_most": 1}}}, ("constraints.val/clean_map",)),
    ({"constraints": {"val/clean_map": 0.5}}, ("constraints.val/clean_map: 0.5", "a section")),
    ({"constraints": {"val/clean_map": {"at_least": NAN}}}, ("at_least: nan", "finite")),
    ({"search": None}, ("search: None", "a section")),
    ({"search.sampler": "tpee"}, ("sampler: 'tpee': one of 'ehvi', 'tpe'", "mean tpe?")),
    ({"search.scheduler": "asah"}, ("scheduler: 'asah': one of 'pareto_asha'", "mean asha?")),
    ({"search.scheduler": "asha"}, ("scheduler: asha: needs scalarisation", "robust, clean, mean")),
    ({**asha("mean"), "search.margin": 0.01}, ("search: margin", "pareto_asha, not asha")),
    ({"search.margin": -0.1}, ("search.margin: -0.1", "at least 0")),
    ({"search.margin": 2}, ("search.margin: 2", "at most 1")),
    ({"search.margin": "wide"}, ("search.margin: 'wide'", "a number")),
    ({"search.scalarisation": "mean"}, ("scalarisation", "asha, not pareto_asha")),
    (
        asha("best"),
        ("search.scalarisation: 'best'", "robust, clean, mean, hypervolume, or weights"),
    ),
    (asha(["clean"]), ("search.scalarisation: ['clean']", "or weights")),
    (asha({}), ("search.scalarisation", "or weights")),
    (asha({"speed": 1}), ("search.scalarisation", "weights such as {clean: 0.5, robust: 0.5}")),
    (asha({"clean": -1}), ("search.scalarisation", "numbers from 0 to 1e6")),
    (asha({"clean": NAN}), ("search.scalarisation", "numbers from 0 to 1e6")),
    (asha({"clean": "much"}), ("search.scalarisation", "numbers from 0 to 1e6")),
    (asha({"clean": 0, "robust": 0}), ("search.scalarisation", "above 0")),
    ({"search.stop": 3}, ("search.stop: 3", "a section")),
    ({"search.stop": {"tim": 3}}, ("search.stop.tim: unknown key", "did you mean time?")),
    ({"search.stop": {"time": "2 weeks"}}, ("search.stop.time: '2 weeks'", "30m, 2h")),
    ({"search.stop": {"time": 0}}, ("search.stop.time: 0", "at least 0.001")),
    ({"search.stop": {"time": "-1h"}}, ("search.stop.time: '-1h'", "at least 0.001")),
    ({"search.stop": {"cost": "nanh"}}, ("search.stop.cost", "a finite number")),
    ({"search.stop": {"cost": [1]}}, ("search.stop.cost: [1]", "a number")),
    ({"search.stop": {"stagnation": 5}}, ("search.stop.stagnation: 5", "a section")),
    ({"search.stop": {"stagnation": {}}}, ("search.stop.stagnation.trials: missing",)),
    ({"search.stop": {"stagnation": {"trials": 0}}}, ("stagnation.trials: 0", "at least 1")),
    (
        {"search.stop": {"stagnation": {"trials": 3, "tolerance": -0.1}}},
        ("stagnation.tolerance: -0.1", "at least 0"),
    ),
    ({"search.stop": {"stagnation": {"trials": 3, "tol": 1}}}, ("did you mean tolerance?",)),
    ({"search.warm_start": "done"}, ("search.warm_start: 'done'", "a list")),
    ({"search.warm_start": [""]}, ("search.warm_start.0: ''",)),
    ({"search.warm_start": ["a", "a"]}, ("warm_start: a is named twice",)),
    ({"search.max_concurrent": 0}, ("max_concurrent: 0", "at least 1")),
    ({"search.max_concurrent": "many"}, ("search.max_concurrent: 'many'", "'auto'")),
    ({"search.reduction_factor": 1}, ("search.reduction_factor: 1", "at least 2")),
    ({"search.grace_period": 0}, ("search.grace_period: 0", "at least 1 or one of 'auto'")),
    ({"search.num_samples": -1}, ("search.num_samples: -1", "at least 0")),
    ({"search.num_samples": 10**30}, ("search.num_samples: 1000", "at most 100000")),
    ({"confirm.seeds": 0}, ("confirm.seeds: 0", "at least 1")),
    ({"confirm.undefended": "yes"}, ("confirm.undefended: 'yes'", "true or false")),
    ({"confirm.max_configs": -1}, ("confirm.max_configs: -1",)),
    ({"validation.attack": "mainstay"}, ("validation.attack: delete this key", "mainstay")),
    ({"validation.queries": 0}, ("validation.queries: 0", "at least 1")),
    ({"evaluation.attacks": []}, ("evaluation.attacks: []", "at least 1")),
    ({"evaluation.attacks": ["hag", "hag"]}, ("attacks: hag", "twice")),
    ({"evaluation.attacks": ["pgd"]}, ("evaluation.attacks.0: 'pgd'", "'mainstay'")),
    ({"evaluation.attacks": ["mainstay_targeted"]}, ("mainstay_targeted: all targeted", "hag")),
    ({"evaluation.norm": "l3"}, ("evaluation.norm: 'l3'", "'l2'")),
    ({"evaluation.eps": 2}, ("evaluation: eps: 2", "at most 1")),
    (
        {"evaluation.options": {"hag": {"step": 3}}},
        ("evaluation.options.hag.step: unknown key", "did you mean steps?"),
    ),
    ({"evaluation.options": {"hag": {"steps": 0}}}, ("options.hag.steps",)),
    ({"evaluation.options": {"sdha": {}}}, ("options.sdha", "not among attacks")),
    ({"evaluation.attacks": "hag"}, ("evaluation.attacks: 'hag'", "a list")),
    ({"evaluation.attacks": [["hag"]]}, ("evaluation.attacks.0: ['hag']",)),
    ({"evaluation.ties": "random"}, ("evaluation.ties: 'random'", "'stable'")),
    ({"evaluation.top_k": 0}, ("evaluation.top_k: 0", "at least 1")),
    ({"evaluation.top_k": 801}, ("evaluation.top_k: 801", "at most 800")),
    ({"evaluation.eps": -0.1}, ("evaluation.eps: -0.1", "at least 0")),
    ({"constraints": 5}, ("constraints: 5", "a section")),
    ({"compare": 5}, ("compare: 5", "a section")),
    ({"compare": {"a": 5}}, ("compare.a: 5", "a section")),
    ({"compare": {"a": {"defense.eps": 2}}}, ("compare.a: defense.eps: 2", "at most 1")),
    ({"seed": 10**399}, ("seed: 1000", "at most 2**53")),
    ({"seed": -(10**399)}, ("seed: -1000", "at least 0")),
    ({"defense.steps": 2**53}, ("defense.steps: 9007199254740992", "at most 1000")),
    ({"data.val_queries": 2**53}, ("data.val_queries: 9007199254740992", "at most 1000000")),
    ({"defense.lr": 1e308}, ("defense.lr: 1e+308", "at most 100")),
    ({"pretrain.lr": 5e-324}, ("pretrain.lr: 5e-324", "at least 1e-09")),
    ({"resources.cpus_per_trial": 100_000}, ("cpus_per_trial: 100000", "at most 1024")),
    ({"resources.cpus_per_trial": 2**40}, ("cpus_per_trial: 1099511627776", "at most 1024")),
    ({"evaluation.eps": 10**399}, ("evaluation.eps: 1000", "at most 3145728")),
    ({"search.stop": {"time": "1e300d"}}, ("search.stop.time: '1e300d'", "at most 3153600000")),
    (one(LAMBDA, {"float": [0, 1], "step": 1e-18}), (LAMBDA, "step: 1e-18", "at least 1e-06")),
    (one(LAMBDA, {"float": [0, 1], "step": 5e-324}), (LAMBDA, "step: 4.94", "at least 1e-06")),
    (one(LAMBDA, {"float": [0, 1], "step": 2}), (LAMBDA, "step: 2", "at most 1")),
    (one(LAMBDA, {"float": [5e-324, 1], "log": True}), (LAMBDA, "above 0, 1e-12 or more")),
    (one(LAMBDA, {"choice": [n / 1e4 for n in range(9000)]}), (LAMBDA, "at most 256 of them")),
    (one("float", {"int": [1, 2]}), ("space.float: only keys of",)),
    (
        one(LAMBDA, {"float": [1, 2], "when": {"model.bits": 10**399}}),
        (f"{LAMBDA}.when.model.bits: 1000", "never so"),
    ),
    ({"data": {"path": "~nosuchuser/x"}}, ("data.path: ~nosuchuser/x", "no such user")),
    ({"data": {"path": "/" + "x" * 300}}, ("data.path: /xxx", "a name of 300 bytes; at most 255")),
    ({"data": {"path": "x/" * 3000}}, ("data.path: x/x", "bytes; at most 3840")),
    (
        {"data": {"name": "mscoco", "root": "~nosuchuser"}},
        ("data.root: ~nosuchuser", "no such user"),
    ),
    ({"model.weights": "~nosuchuser/w.pt"}, ("model.weights: ~nosuchuser/w.pt", "no such user")),
    ({"model.weights": "x" * 300}, ("model.weights: xxx", "a name of")),
    (
        {"search.warm_start": ["~nosuchuser/x"]},
        ("search.warm_start: ~nosuchuser/x", "no such user"),
    ),
    ({"search.warm_start": ["x" * 300]}, ("search.warm_start: ", "a name of 300 bytes")),
    ({"search.warm_start": ["dome"]}, ("search.warm_start: dome", "did you mean done?")),
    (asha("robus"), ("search.scalarisation: 'robus'", "did you mean robust?")),
    ({"evaluation.attacks": ["maistay"]}, ("attacks.0: 'maistay'", "did you mean mainstay?")),
    ({"evaluation.options": {"hga": {}}}, ("evaluation.options.hga", "did you mean hag?")),
    ({"evaluation.norm": "lnf"}, ("evaluation.norm: 'lnf'", "did you mean linf?")),
    ({"confirm.battery": "cor"}, ("confirm.battery: 'cor'", "did you mean core?")),
    ({"resources.cpus_per_trial": 0}, ("resources.cpus_per_trial: 0", "at least 1")),
    ({"resources.gpus_per_trial": "all"}, ("resources.gpus_per_trial: 'all'", "a number")),
]


@pytest.mark.parametrize(("changes", "named"), FILES, ids=lambda part: str(part)[:60])
def test_a_wrong_experiment_starts_nothing(
    capsys: Any, changes: dict[Any, Any], named: tuple[str, ...]
) -> None:
    raw = tiny_raw({key: value for key, value in changes.items() if isinstance(key, str)})
    raw |= {key: value for key, value in changes.items() if not isinstance(key, str)}
    WRONG.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False))
    line = refused(capsys, "search", WRONG, "--executor", "inline")
    for part in named:
        assert part in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_starts_nothing(capsys: Any) -> None:
    WRONG.write_text(yaml.safe_dump(tiny_raw({"resources.gpus_per_trial": 1})))
    line = refused(capsys, "train", WRONG)
    assert "resources.gpus_per_trial: 1" in line


CONTENTS: dict[str, tuple[bytes, str]] = {
    "a list": (b"- 1\n", "not list"),
    "empty": (b"", "not NoneType"),
    "a word": (b"hello", "not str"),
    "unclosed": (b"name: [1\n", "line 2"),
    "tabs": (b"data:\n\tname: x\n", "line 2"),
    "a key twice": (b"name: a\nname: b\n", "line 2 the key name is given twice"),
    "a key twice in a section": (b"data:\n  seed: 1\n  seed: 2\n", "line 3 the key seed"),
    "binary": (bytes(range(256)), "cannot be read"),
    "UTF-16": ("name: a".encode("utf-16"), "cannot be read"),
    "a NUL": (b"name: \0", "not YAML"),
    "a Python object": (b"name: !!python/object:os.system x", "line 1"),
    "an unknown alias": (b"name: *x", "line 1"),
    "two documents": (b"a: 1\n---\nb: 1\n", "line 2"),
    "a number of 5000 digits": (b"seed: " + b"1" * 5000, "line 1 a number of 5000 characters"),
    "very deep": (b"a: " + b"[" * 1200, "line 1 nested more than 12 deep"),
    "very deep mappings": (b"a: " + b"{b: " * 1200, "line 1 nested more than 12 deep"),
    "a chain of aliases": (
        b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d]\n" % (n, n, n - 1) for n in range(1, 40)),
        "line 1 nested more than 12 deep",
    ),
    "an alias bomb": (
        b"a0: &a0 [x, x]\n"
        + b"".join(
            b"a%d: &a%d %s\n" % (n, n, str([f"*a{n - 1}"] * 9).replace("'", "").encode())
            for n in range(1, 9)
        ),
        "more than 10000 values",
    ),
    "an alias of itself": (b"a: &a [*a]\n", "line 1 nested more than 12 deep"),
    "a megabyte": (b"# " + b"x" * 2**20, "larger than 256 KiB"),
    "a merged mapping": (b"a: &a {b: 1}\nc: {<<: *a}\n", "line 2 the key <<: merging is not read"),
    "a bool by tag": (b"seed: !!bool x\n", "line 1 the tag tag:yaml.org,2002:bool"),
    "an int by tag": (b'seed: !!int ""\n', "line 1 the tag tag:yaml.org,2002:int"),
    "a date by tag": (b"name: !!timestamp x\n", "line 1 the tag tag:yaml.org,2002:timestamp"),
    "a set by tag": (b"space: !!set [1]\n", "line 1 the tag tag:yaml.org,2002:set"),
    "a text by tag": (b"a: 1\nname: !!str 5\n", "line 2 the tag tag:yaml.org,2002:str"),
    "a tagged key": (b"!!str name: 5\n", "line 1 the tag tag:yaml.org,2002:str"),
    "an escaped NUL": (b'name: "a\\0"\n', "line 1 the character U+0000 is no text"),
    "half a surrogate pair": (b'name: "\\ud800"\n', "line 1 the character U+D800 is no text"),
    "beyond Unicode": (b'name: "\\U00110000"\n', "not YAML"),
    "a list as a key": (b"[1]: 2\n", "line 1"),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_is_no_experiment_is_refused(capsys: Any, content: str) -> None:
    text, named = CONTENTS[content]
    WRONG.write_bytes(text)
    for command in ("validate", "search", "train"):
        line = refused(capsys, command, WRONG)
        assert str(WRONG) in line
        assert named in line


# {root} is the folder in which the commands run.
COMMANDS: list[tuple[str, str]] = [
    ("serch", "serch"),
    ("--version-of-things", "--version-of-things"),
    ("search", "EXPERIMENT.yaml"),
    ("train", "EXPERIMENT.yaml"),
    ("resume", "NAME"),
    ("status", "NAME"),
    ("report", "NAME"),
    ("sync", "NAME"),
    ("evaluate", "CHECKPOINT"),
    ("validate", "FILE"),
    ("list", "what"),
    ("list backbone", "list 'backbone': one of datasets, backbones"),
    ("list spaces more", "more"),
    ("list atacks", "did you mean attacks?"),
    *[
        (f"{command} dome", "did you mean done?")
        for command in ("status", "resume", "report", "verify", "transfer", "sync")
    ],
    ("status done --runs-dir ~nosuchuser/x", "--runs-dir': ~nosuchuser/x: there is no such user"),
    ("status done --runs-dir=", "--runs-dir': '': a path is not empty"),
    (f"status {'x' * 300}", "a name of 300 bytes; at most 255"),
    (f"search {'x' * 300}.yaml", "a name of 305 bytes; at most 255"),
    ("validate tiny.yaml --set seed=-1", "tiny.yaml: seed: -1: at least 0"),
    ("validate tiny.yaml --set seed=!!int", "--set seed: the value is not YAML (line 1 the"),
    ("train tiny.yaml --executor inlin", "did you mean inline?"),
    ("train tiny.yaml --tracking-uri sqlite", "--tracking-uri sqlite: must be sqlite:///FILE"),
    (
        "train tiny.yaml --tracking-uri sqlite://",
        "--tracking-uri sqlite://: must be sqlite:///FILE",
    ),
    ("evaluate . --battery cor", "did you mean core?"),
    ("evaluate . --attack maistay", "did you mean mainstay?"),
    ("evaluate . --queries tset", "did you mean test?"),
    ("evaluate . --device cud", "did you mean cuda?"),
    (
        "evaluate . --precision bf6",
        "--precision 'bf6': one of fp32, tf32, bf16; did you mean bf16?",
    ),
    ("evaluate . --precision tf32", "--precision: tf32: cpu has no TF32 (NVIDIA Ampere and newer"),
    ("evaluate . --eps 1e308", "--eps 1e308: a number from 0 to 3145728"),
    ("evaluate . --steps 100001", "at most 100000"),
    ("evaluate . --seed 9007199254740993", "at most 9007199254740992"),
    ("preflight --timeout 1e9", "at most 86400"),
    ("ui dome --port x", "a whole number"),
    ("search nowhere.yaml", "nowhere.yaml: no such file"),
    ("search .", "Is a directory"),
    ("train nowhere.yaml", "nowhere.yaml: no such file"),
    ("validate tiny.yaml nowhere.yaml", "nowhere.yaml: no such file"),
    ("search tiny.yaml --sampels 3", "--sampels"),
    ("search tiny.yaml --num-samples x", "--num-samples"),
    ("search tiny.yaml --num-samples -1", "search.num_samples: -1"),
    ("search tiny.yaml --max-concurrent 0", "max_concurrent: 0"),
    ("search tiny.yaml --seed -1", "seed: -1"),
    ("search tiny.yaml --name a/b", "name: 'a/b'"),
    ("search tiny.yaml --name ..", "name: '..'"),
    ("search tiny.yaml --name taken", "taken: exists; take another --name"),
    ("train tiny.yaml --name done", "saat resume done"),
    ("search tiny.yaml --set defense.eps", "--set defense.eps: write key=value"),
    ("search tiny.yaml --set =1", "--set =1: write key=value"),
    ("search tiny.yaml --set defense.lamda=1", "did you mean lambda?"),
    ("search tiny.yaml --set name.x=1", "name is not a section"),
    ("search tiny.yaml --set defense.eps=[", "--set defense.eps: the value is not"),
    ("search tiny.yaml --set defense.eps=", "defense.eps: None"),
    ("search tiny.yaml --set defense.eps=2", "defense.eps: 2"),
    ("search tiny.yaml --executor foo", "executor 'foo': one of ray, inline"),
    ("search tiny.yaml --address auto", "--address auto"),
    ("search tiny.yaml --autoscaling", "--autoscaling: applies to a cluster"),
    ("train tiny.yaml --autoscaling", "--autoscaling: applies to a cluster"),
    ("search tiny.yaml --tracking-uri http://u:secret@h", "password in the address"),
    ("search tiny.yaml --tracking-uri ftp://host", "--tracking-uri ftp://host"),
    ("search tiny.yaml --tracking-uri /tmp/x", "--tracking-uri /tmp/x"),
    ("search tiny.yaml --tracking-uri http://[", "--tracking-uri http://["),
    ("search tiny.yaml --tracking-uri http:///", "--tracking-uri http:///"),
    ("search tiny.yaml --tracking-uri http://:80", "--tracking-uri http://:80"),
    (
        "search tiny.yaml --tracking-uri sqlite:////proc/x.db",
        "--tracking-uri: /proc: /proc is not writable",
    ),
    ("search tiny.yaml --tracking-uri sqlite:///{root}/runs", "runs: not a file"),
    ("search tiny.yaml --tracking-uri sqlite:///{root}/file.txt/x.db", "file.txt is not a folder"),
    ("search tiny.yaml --tracking-uri sqlite:///{root}/pickle", "pickle: file is not a database"),
    (
        "train tiny.yaml --tracking-uri sqlite:///{root}/old/mlflow.db",
        "written by an older MLflow; back it up, then: mlflow db upgrade sqlite:///{root}/old/mlflow.db",
    ),
    ("search tiny.yaml --tracking-uri sqlite:///{root}/new/mlflow.db", "written by a newer MLflow"),
    ("search tiny.yaml --tracking-uri sqlite://", "in memory"),
    ("search tiny.yaml --tracking-uri sqlite:///:memory:", "in memory"),
    ("search tiny.yaml --tracking-uri sqlite:////tmp/a%20b.db", "without %"),
    ("sync done --tracking-uri sqlite:///{root}/old/mlflow.db", "written by an older MLflow"),
    ("search tiny.yaml --runs-dir a?b", "--runs-dir: a?b: MLflow's database cannot be there"),
    ("search tiny.yaml --runs-dir a%20b", "no ? or %"),
    ("search tiny.yaml --dry-run --runs-dir a?b", "no ? or %"),
    ("search tiny.yaml --runs-dir /proc/runs", "/proc is not writable"),
    ("search tiny.yaml --runs-dir old", "written by an older MLflow"),
    ("search tiny.yaml --runs-dir file.txt", "file.txt"),
    ("search tiny.yaml --cache-dir file.txt", "file.txt"),
    *[
        (f"{command} nowhere", "nowhere: no such search")
        for command in ("resume", "status", "report", "sync", "report done")
    ],
    ("resume empty", "empty: the search never started"),
    ("status ..", "no such search"),
    ("report empty", "empty: the search never started"),
    ("report done -o file.txt", "-o file.txt: "),
    ("report done -o /dev/null", "-o /dev/null: "),
    ("report done -o /proc/report", "/proc is not writable"),
    ("report done -o kept", "kept: exists, and holds something else"),
    ("transfer done -o /dev/null", "-o /dev/null: "),
    ("transfer done -o kept", "kept: exists, and holds something"),
    *[
        (f"{command} done --runs-dir file.txt", "--runs-dir file.txt: ")
        for command in ("transfer", "verify", "status", "report", "sync", "resume")
    ],
    ("list searches --runs-dir file.txt", "--runs-dir file.txt: "),
    ("preflight nowhere.yaml", "nowhere.yaml: no such file"),
    ("preflight file.txt", "file.txt: an experiment is a mapping"),
    ("preflight tiny.yaml tiny.yaml", "unexpected extra argument"),
    ("preflight tiny.yaml --set defense.lamda=1", "did you mean lambda?"),
    ("preflight --set defense.eps=1", "--set defense.eps: belongs to an EXPERIMENT.yaml"),
    ("preflight --runs-dir file.txt", "--runs-dir file.txt: "),
    ("preflight --cache-dir file.txt", "--cache-dir file.txt: "),
    ("preflight --tracking-uri ftp://host", "--tracking-uri ftp://host: must be http://"),
    ("preflight --tracking-uri http://u:secret@h", "password in the address"),
    ("preflight --timeout 0", "--timeout"),
    ("preflight --executor ray", "--executor"),
    ("ui --runs-dir nowhere", "mlflow.db"),
    ("ui --runs-dir old", "written by an older MLflow"),
    ("ui --port 0", "--port"),
    ("ui --port 99999", "--port"),
    ("evaluate nowhere", "nowhere: no such file"),
    ("evaluate .", "another version"),
    ("evaluate runs", "model.safetensors: no such file"),
    ("evaluate truncated", "truncated"),
    ("evaluate pickle", "pickle"),
    ("evaluate file.txt", "file.txt"),
    ("evaluate unknown", "unknown: a checkpoint of another kind"),
    ("evaluate other_bits", "another version"),
    ("evaluate no_setting", "no_setting: data"),
    ("evaluate no_protocol", "evaluation.top_q: unknown key; did you mean top_k?"),
    ("evaluate . --eps -1", "--eps -1"),
    ("evaluate . --battery huge", "--battery 'huge': one of none, core, full"),
    ("evaluate . --transfer-from .", "belongs to --battery"),
    ("evaluate . --eps=-1/255", "--eps -1/255"),
    ("evaluate . --eps nan", "--eps nan"),
    ("evaluate . --eps much", "--eps much"),
    ("evaluate . --steps 0", "--steps"),
    ("evaluate . --queries foo", "--queries 'foo': one of test, validation"),
    ("evaluate . --seed -1", "--seed"),
    ("evaluate . --attack pgd", "--attack 'pgd': one of mainstay, "),
    ("evaluate . --attack hag --attack hag", "--attack hag"),
    ("evaluate . --device tpu", "--device 'tpu': one of cpu, cuda"),
    ("evaluate . -o runs", "runs: exists"),
    ("evaluate . -o file.txt/out", "file.txt is not a folder"),
    ("evaluate . -o /dev/null", "/dev/null: exists"),
    ("evaluate . -o /proc/out", "/proc is not writable"),
    ("evaluate . --cache-dir file.txt", "--cache-dir file.txt: "),
    ("evaluate . --data-path .", "the model's data are digits_mini; neither"),
    ("evaluate . --data-root .", "the model's data are digits_mini; neither"),
]


@pytest.mark.parametrize(("command", "named"), COMMANDS)
def test_a_wrong_command_starts_nothing(world: Path, capsys: Any, command: str, named: str) -> None:
    arguments = [part.format(root=world) for part in command.split()]
    if command.startswith("search ") and "--executor" not in command:
        arguments += ["--executor", "inline"]
    line = refused(capsys, *arguments)
    expected = named.replace("{root}", str(world))
    assert expected in line
    assert "secret" not in line


def test_validate_tells_all_that_is_wrong_with_all_files(capsys: Any) -> None:
    changes = {"nam": 1, "model.bits": 0, "defense.lamda": 1, "pretrain.lr": 0, "seed": -1}
    WRONG.write_text(yaml.safe_dump(tiny_raw({**changes, "data.val_queries": 0})))
    space = {"defense.eps": {"float": [0, 2]}, "defense.stps": {"int": [1, 2]}}
    Path("other.yaml").write_text(yaml.safe_dump(tiny_raw({"space": space})))
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(WRONG), "tiny.yaml", "nowhere.yaml", "other.yaml"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == "tiny.yaml: valid (tiny, 1 searched key)\n"
    named = [
        f"{WRONG}: seed: -1",
        f"{WRONG}: data.val_queries: 0",
        f"{WRONG}: model.bits: 0",
        f"{WRONG}: pretrain.lr: 0",
        f"{WRONG}: defense.lamda: unknown key",
        f"{WRONG}: nam: unknown key",
        "nowhere.yaml: no such file",
        "other.yaml: space.defense.eps: defense.eps: 2.0",
        "other.yaml: space.defense.stps: defense.stps: unknown key",
    ]
    lines = err.splitlines()
    assert len(lines) == len(named)
    assert all(line.startswith(f"saat: {start}") for line, start in zip(lines, named, strict=True))


def test_other_commands_tell_the_first_mistake_and_count_the_others(capsys: Any) -> None:
    WRONG.write_text(yaml.safe_dump(tiny_raw({"nam": 1, "model.bits": 0})))
    line = refused(capsys, "train", WRONG)
    assert line.endswith("model.bits: 0: at least 1 (and 1 more); saat validate shows all")


def test_a_network_that_is_not_the_one_it_says_is_refused(capsys: Any) -> None:
    tensors, meta = tensor_file.load(Path("other_bits"))
    data = RetrievalData.named("digits_mini", image_size=16, val_queries=40)
    meta["data_fingerprint"] = data.fingerprint
    tensor_file.save(Path("own_data"), tensors, meta)
    assert "own_data: not the network it says" in refused(capsys, "evaluate", "own_data")


def middle(lines: list[str]) -> None:
    lines[2] = "garbage\n"


def missing(lines: list[str]) -> None:
    event = json.loads(lines[2])
    del event["trial_id"]
    lines[2] = json.dumps(event) + "\n"


def unknown_trial(lines: list[str]) -> None:
    lines[2] = json.dumps({**json.loads(lines[2]), "trial_id": "nobody"}) + "\n"


@pytest.mark.parametrize("damage", [middle, missing, unknown_trial])
@pytest.mark.parametrize("command", ["status", "report", "resume", "list"])
def test_a_damaged_journal_is_named_and_left_as_it_is(
    capsys: Any, tmp_path: Path, damage: Callable[[list[str]], None], command: str
) -> None:
    run_dir = tmp_path / "done"
    run_dir.mkdir()
    lines = (RUNS / "done" / "events.jsonl").read_text().splitlines(keepends=True)
    damage(lines)
    (run_dir / "events.jsonl").write_text("".join(lines))
    (run_dir / "experiment.yaml").write_bytes((RUNS / "done" / "experiment.yaml").read_bytes())
    before = tree(tmp_path)
    name = "searches" if command == "list" else "done"
    line = refused(capsys, command, name, "--runs-dir", tmp_path)
    assert "events.jsonl: line 3:" in line
    assert "damaged" in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content", [b"a: [", b"- 1", b"", b"\xff\xfe", b"schema_version: 1"])
@pytest.mark.parametrize("command", ["status", "report", "resume"])
def test_a_damaged_experiment_of_a_search_is_named(
    capsys: Any, tmp_path: Path, content: bytes, command: str
) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "experiment.yaml").write_bytes(content)
    line = refused(capsys, command, "done", "--runs-dir", tmp_path)
    assert "done/experiment.yaml" in line


def test_a_search_that_another_process_runs_is_left_alone(capsys: Any) -> None:
    with FileLock(RUNS / "done" / ".driver.lock"):
        line = refused(capsys, "resume", "done")
    assert "done: another process is running this search" in line


def test_the_data_of_a_resumed_search_must_be_its_own(capsys: Any) -> None:
    line = refused(capsys, "resume", "done")
    assert "data" in line


SAAT = str(Path(sys.executable).parent / "saat")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["validate", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["serch"], "did you mean 'search'?"),
    ],
)
def test_the_installed_command_refuses_as_well(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    command = [SAAT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    check_line(done.returncode, done.stdout, done.stderr)
    assert named.lower() in done.stderr.lower()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1: no Ray cluster answers"),
        (["--address", "no.such.host:6379"], "--address no.such.host:6379: no Ray cluster"),
        (["--address", "127.0.0.1:99999"], "--address 127.0.0.1:99999: no Ray cluster answers"),
        (["--address", "foo"], "--address foo: no Ray cluster answers"),
        (["--address", "ray://127.0.0.1:10001"], "10001: not through Ray's client; run the driver"),
        (["--set", "resources.gpus_per_trial=99"], "99 GPUs per trial"),
    ],
)
def test_a_cluster_that_cannot_run_a_trial_starts_nothing(options: list[str], named: str) -> None:
    command = [SAAT, "search", "tiny.yaml", *options]
    before = tree(RUNS)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check_line(done.returncode, done.stdout, done.stderr)
    assert named in done.stderr
    assert tree(RUNS) == before
