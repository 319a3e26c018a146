"""Trained on one set, measured on another, with an explicit label map."""

import json
from pathlib import Path

import pytest
import yaml

from harness.__main__ import main
from harness.evaluation.models import moved_subject, trained_subject
from saat.errors import InputError
from saat.protocol import Protocol, evaluate, named_attacks
from tests.harness.tiny import tiny_raw

PROTOCOL = Protocol(named_attacks(["mainstay"], 2), top_k=100)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("moved")
    (root / "tiny.yaml").write_text(
        yaml.safe_dump(tiny_raw({"pretrain.epochs": 10, "pretrain.batch_size": 50}))
    )
    other = tiny_raw({"data": {"name": "digits100", "image_size": 16, "val_queries": 40}})
    (root / "other.yaml").write_text(yaml.safe_dump(other))
    larger = tiny_raw({"data.image_size": 32})
    (root / "larger.yaml").write_text(yaml.safe_dump(larger))
    with pytest.raises(SystemExit) as ended:
        main(["train", f"{root}/tiny.yaml", "--runs-dir", f"{root}/runs"])
    assert ended.value.code == 0
    return root


def trained(root: Path) -> Path:
    (trial,) = (root / "runs/tiny/trials").iterdir()
    return trial


def label_map(root: Path, source: int, target: int, pairs: dict[int, int]) -> Path:
    path = root / "map.yaml"
    path.write_text(yaml.safe_dump({"source": source, "target": target, "map": pairs}))
    return path


@pytest.mark.slow
def test_the_same_set_under_the_identity_gives_the_same_numbers(root: Path) -> None:
    same = label_map(root, 10, 10, {i: i for i in range(10)})
    moved, sentence = moved_subject(trained(root), root / "tiny.yaml", same)
    own = trained_subject(trained(root))
    assert "classes without counterpart: none" in sentence
    first, second = (evaluate(s.network, s.data, PROTOCOL).metrics() for s in (moved, own))
    assert first == second


@pytest.mark.lengthy
def test_another_set_is_measured_in_the_classes_of_the_model(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers by their tens: the model of digits finds them better than a random order."""
    tens = label_map(root, 100, 10, {number: number // 10 for number in range(100)})
    arguments = ["evaluate", trained(root), "--experiment", root / "other.yaml"]
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in (*arguments, "--label-map", tens, "-o", root / "out")])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert "rows without any label" in err
    assert "theoretical" in out
    written = json.loads((root / "out/metrics.json").read_text())
    assert written["metrics"]["clean_map"] > written["metrics"]["chance_map"] + 0.03
    assert written["dataset"].startswith("digits100+map-")


def test_other_classes_without_a_map_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match="100 classes; the model was trained with 10"):
        moved_subject(trained(root), root / "other.yaml", None)
    short = label_map(root, 100, 7, {0: 0})
    with pytest.raises(InputError, match="7 classes; the model was trained with 10"):
        moved_subject(trained(root), root / "other.yaml", short)


def test_images_of_another_size_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"data\.image_size: the model was trained with 16"):
        moved_subject(trained(root), root / "larger.yaml", None)


def test_a_map_without_other_data_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(trained(root)), "--label-map", "map.yaml"])
    assert ended.value.code == 2
    assert "--label-map map.yaml: belongs to" in capsys.readouterr().err
