"""Data sets by name at the command line: listed, moved, and named in every result."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.catalogue import catalogue
from harness.evaluation.models import load_label_map, relocated
from harness.experiment.configs import config_at
from harness.experiment.file import load_experiment
from harness.experiment.sections import DataSection
from harness.journal.state import load_state
from harness.provenance import provenance
from harness.session.listing import dataset_line
from harness.session.result_tables import write_tables
from harness.trial import stages
from reports.protocol import protocol_terms
from reports.results import load_search
from saat import tensor_file
from saat.data import DATASETS
from saat.errors import InputError
from tests.harness import fakes
from tests.harness.tiny import tiny, tiny_raw
from tests.saat.data.samples import folder, opened, real, splits, write_images, write_pairs


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAAT_DATA", raising=False)


def cifar(root: Path, classes: int = 10) -> Path:
    """A CIFAR-10 of 25 images below ``root``, one of them without a label."""
    content = {
        split: [(path, label + " 0" * (classes - 3)) for path, label in rows]
        for split, rows in splits().items()
    }
    content["test"][0] = (content["test"][0][0], " ".join("0" * classes))
    write_images(root / "CIFAR-10", content)
    write_pairs(root / "CIFAR-10", content)
    return root


def run(capsys: Any, *arguments: object) -> str:
    """What a command that succeeds says on standard output."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return str(out)


def test_the_list_says_what_is_where(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    root = cifar(tmp_path / "data")
    before = run(capsys, "list", "datasets")
    given = run(capsys, "list", "datasets", "--data-root", root)
    monkeypatch.setenv("SAAT_DATA", str(root))
    assert run(capsys, "list", "datasets").replace(" (SAAT_DATA)", "") == given
    lines = dict(line.split("  ", 1) for line in given.splitlines())
    assert list(lines) == [*DATASETS, "data.path"]
    assert "10 train, 20 database, 5 test (1 without a label)" in lines["cifar10"]
    assert "cifar10/custom-" in lines["cifar10"]
    assert f"in {root / 'CIFAR-10'}:" in lines["cifar10"]
    assert f"not found: looked in {root / 'MS-COCO'}; " in lines["mscoco"]
    for name, line in zip(lines, before.splitlines(), strict=True):
        if name not in ("digits", "digits_mini", "digits100", "data.path"):
            assert "SAAT_DATA" in line
            assert DATASETS[name].obtain in line


def test_a_list_holds_no_control_characters(capsys: Any) -> None:
    listed = run(capsys, "list", "datasets", "--data-root", "\x1b[31m")
    assert "\x1b" not in listed
    assert "looked in \\x1b[31m/MS-COCO" in listed


def test_lists_that_are_wrong_are_listed_as_not_usable(tmp_path: Path) -> None:
    cifar(tmp_path, classes=9)
    (tmp_path / "NUS-WIDE").mkdir()
    lines = {
        name: dataset_line(name, entry, tmp_path) for name, entry in catalogue().datasets.items()
    }
    assert "not usable" in lines["cifar10"]
    assert "9 labels per image; cifar10 has 10" in lines["cifar10"]
    assert "not usable" in lines["nuswide"]
    assert "list files are missing" in lines["nuswide"]
    assert all("\n" not in line for line in lines.values())


def test_the_published_lists_are_listed_by_their_label() -> None:
    entry = catalogue().datasets["flickr25k"]
    line = dataset_line("flickr25k", entry, real("protocols"))
    assert "flickr25k/prosgan in" in line
    assert "5000 train (95 without a label), 23300 database (381 without a label)" in line
    assert "1700 test (38 without a label)" in line


def test_a_root_is_seen_from_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = tiny_raw({"data.name": "cifar10", "data.root": "sets"})
    Path("file.yaml").write_text(yaml.safe_dump(raw))
    experiment, _ = load_experiment(Path("file.yaml"))
    assert experiment.data.root == str(tmp_path / "sets")
    assert DataSection(name="cifar10").root is None


def listed_setting(**data: Any) -> Any:
    return config_at(tiny({"data": {"image_size": 16, "val_queries": 4, **data}}), {})


def test_only_the_place_changes(tmp_path: Path) -> None:
    here = folder(tmp_path / "here")
    for before, options, key, after in [
        (listed_setting(path="/gone"), (here, None), "path", here),
        (listed_setting(path=str(here)), (None, None), "path", here),
        (listed_setting(name="cifar10"), (None, tmp_path), "root", tmp_path),
        (listed_setting(name="cifar10", root="/gone"), (None, tmp_path), "root", tmp_path),
    ]:
        moved = relocated(before, *options)
        assert getattr(moved.data, key) == str(after)
        expected = {**before.dump(), "data": {**before.dump()["data"], key: str(after)}}
        assert moved.dump() == expected
    assert relocated(listed_setting(name="digits"), None, None) == listed_setting(name="digits")


@pytest.mark.parametrize(
    ("data", "path", "root", "named"),
    [
        ({"name": "digits"}, ".", None, "the model's data are digits; neither --data-path"),
        ({"name": "digits"}, None, ".", "the model's data are digits; neither --data-path"),
        ({"name": "cifar10"}, ".", None, "the model's data are cifar10; --data-root"),
        ({"path": "/gone"}, None, ".", "the model's data are /gone; --data-path"),
        ({"path": "/gone"}, "nowhere", None, "--data-path nowhere: no such folder"),
        ({"name": "cifar10"}, None, "nowhere", "--data-root nowhere: no such folder"),
        ({"path": "/gone"}, None, None, "/gone: the model's data are not here; --data-path"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(
    data: dict[str, Any], path: str | None, root: str | None, named: str
) -> None:
    places = [None if place is None else Path(place) for place in (path, root)]
    with pytest.raises(InputError) as caught:
        relocated(listed_setting(**data), *places)
    assert named in str(caught.value)


DATA = {"name": "cifar10", "image_size": 16, "val_queries": 4}
SMALL = {
    "data": DATA,
    "space": {},
    "pretrain": {"epochs": 1, "batch_size": 10},
    "defense": {"epochs": 1, "steps": 1, "batch_size": 10},
    "validation": {"steps": 1, "queries": 4},
    "evaluation": {"top_k": 10, "steps": 1, "attacks": ["mainstay"]},
}


@pytest.mark.parametrize("label", ["toys/custom-12345678", None])
def test_the_table_of_trials_names_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str | None
) -> None:
    if label is not None:  # journals of older versions have none
        monkeypatch.setitem(fakes.STARTED, "dataset", label)
    searched = fakes.experiment(name="done", search__num_samples=1)
    fakes.finished(tmp_path / "done", searched)
    (tmp_path / "done" / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    write_tables(tmp_path / "done", *load_state(tmp_path / "done"))
    results = load_search(tmp_path / "done")
    terms = dict(protocol_terms(results))
    if label is None:
        assert (results.datasets, terms["Data set"]) == ((), "–")
    else:
        assert results.datasets == (label,)
        assert terms["Data set"].startswith(f"{label} (not a published split")


def test_where_a_run_came_from_names_its_lists(tmp_path: Path) -> None:
    data = opened(**DATA, root=cifar(tmp_path))
    found = provenance(tiny(), data, "cpu", {})["data"]
    assert found["label"] == data.label
    assert found["lists_sha256"] == data.lists_sha256
    assert len(found["lists_sha256"]) == 6


@pytest.mark.lengthy
def test_every_result_names_its_data_and_models_follow_them(tmp_path: Path, capsys: Any) -> None:
    root = cifar(tmp_path / "data")
    file, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump(tiny_raw(SMALL | {"data": {**DATA, "root": str(root)}})))
    run(capsys, "train", file, "--runs-dir", runs)
    data = opened(**DATA, root=root)
    (model,) = (runs / "tiny" / "trials").glob("*/model.safetensors")
    provenance = json.loads((runs / "tiny" / "provenance.json").read_text())["data"]
    _, meta = tensor_file.load(model)
    assert provenance["label"] == meta["dataset"] == data.label
    assert provenance["lists_sha256"] == meta["lists_sha256"] == data.lists_sha256
    assert set(pd.read_parquet(runs / "tiny" / "trials.parquet").dataset) == {data.label}
    results = load_search(runs / "tiny")
    assert results.datasets == (data.label,)
    assert dict(protocol_terms(results))["Data set"].startswith(f"{data.label} (")
    before = run(capsys, "evaluate", model)
    shutil.move(root, tmp_path / "moved")
    stages.OPENED.clear()  # as in a process of its own
    with pytest.raises(SystemExit):
        main(["evaluate", str(model)])
    assert f"looked in {root / 'CIFAR-10'}" in capsys.readouterr().err
    assert run(capsys, "evaluate", model, "--data-root", tmp_path / "moved") == before
    other = splits()
    other["test"] = other["test"][:-1]
    padded = {k: [(p, lab + " 0" * 7) for p, lab in rows] for k, rows in other.items()}
    write_pairs(tmp_path / "moved" / "CIFAR-10", padded)
    stages.OPENED.clear()
    with pytest.raises(SystemExit):
        main(["evaluate", str(model), "--data-root", str(tmp_path / "moved")])
    line = capsys.readouterr().err
    assert f"another version of the data set ({data.label}; here is cifar10/custom-" in line


@pytest.mark.parametrize(
    "text",
    [
        "source: [cat, dog]\ntarget: 3\nmap:\n  dog: 2\n  0: 1\n",
        '{"source": ["cat", "dog"], "target": 3, "map": {"dog": 2, "0": 1}}',
    ],
    ids=["YAML", "JSON"],
)
def test_a_label_map_is_yaml_or_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "map"
    file.write_text(text)
    assert load_label_map(file).target_of.tolist() == [1, 2]


def test_a_label_map_may_name_thousands_of_classes(tmp_path: Path) -> None:
    names = ", ".join(f"c{n}" for n in range(3400))
    pairs = ", ".join(f"c{n}: {n}" for n in range(3400))
    file = tmp_path / "map"
    file.write_text(f"{{source: [{names}], target: [{names}], map: {{{pairs}}}}}")
    assert load_label_map(file).target_of.tolist() == list(range(3400))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- 1\n", "a label map is a mapping of keys, not list"),
        ("source: 2\ntarget: 2\nmap: {0: 1, 0: 0}\n", "the key 0 is given twice"),
        ("source: 2\ntarget: 2\nmap: {0: 5}\n", "map: 0: 5: no such class"),
        ("source: [", "line"),
    ],
)
def test_a_wrong_label_map_is_one_line(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_label_map(file)
    assert str(caught.value).startswith(f"{file}:")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
