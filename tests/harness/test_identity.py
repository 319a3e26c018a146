"""What a setting is: the content of its weights counts, not where they lie."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.config import TrialConfig
from harness.experiment.configs import config_at
from harness.journal.state import config_hash
from tests.harness.tiny import tiny


def with_weights(path: Path | str) -> TrialConfig:
    """A setting on some weights; the file's content is only read for its hash."""
    changes: dict[str, Any] = {"model.backbone": "alexnet", "data.image_size": 64}
    return config_at(tiny({**changes, "model.weights": str(path)}), {})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights" * 1000)
    return path


def test_the_same_weights_in_two_places_are_one_setting(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "copied.pt"
    other.parent.mkdir()
    other.write_bytes(weights.read_bytes())
    os.utime(other, (1, 1))
    assert config_hash(with_weights(weights), "data") == config_hash(with_weights(other), "data")
    assert with_weights(weights).dump() != with_weights(other).dump(), "a worker needs the path"


def test_other_weights_in_the_same_place_are_another_setting(weights: Path) -> None:
    seen = {config_hash(with_weights(weights), "data")}
    for content in (b"weights" * 999, b"Weights" * 1000, b""):
        stamp = weights.stat().st_mtime_ns
        weights.write_bytes(content)
        os.utime(weights, ns=(stamp, stamp + 1_000_000))
        seen.add(config_hash(with_weights(weights), "data"))
    assert len(seen) == 4


def test_other_weights_under_the_old_size_and_time_are_another_setting(weights: Path) -> None:
    before, stamp = config_hash(with_weights(weights), "data"), weights.stat().st_mtime_ns
    weights.write_bytes(b"Weights" * 1000)
    os.utime(weights, ns=(stamp, stamp))
    assert config_hash(with_weights(weights), "data") != before


def test_published_and_no_weights_are_named_and_differ_from_a_file(weights: Path) -> None:
    hashes = {
        config_hash(with_weights(name), "data") for name in ("none", "imagenet", str(weights))
    }
    assert len(hashes) == 3
    for name in ("none", "imagenet"):
        assert with_weights(name).identity()["model"]["weights"] == name
    assert with_weights(weights).identity()["model"]["weights"].startswith("sha256:")


def test_where_the_data_lies_is_not_part_of_the_identity_but_its_content_is() -> None:
    first = config_at(tiny(), {})
    second = config_at(tiny({"data.val_queries": 41}), {})
    assert "data" not in first.identity()
    assert config_hash(first, "data") == config_hash(second, "data")
    assert config_hash(first, "data") != config_hash(first, "other data")


def test_options_that_came_later_are_part_of_the_identity_only_where_they_are_set() -> None:
    """So that settings that were stored before keep their hashes."""
    plain = config_at(tiny(), {})
    assert plain.dump()["defense"]["ema"] == 0
    assert (
        plain.identity()["defense"]
        .keys()
        .isdisjoint({"ema", "clip_gradients", "eps_warmup", "select"})
    )
    assert {"lambda", "eps", "steps", "step_size"} <= plain.identity()["defense"].keys()
    averaged = config_at(tiny(), {"defense.ema": 0.9})
    assert averaged.identity()["defense"]["ema"] == 0.9
    assert config_hash(averaged, "data") != config_hash(plain, "data")
    assert config_hash(config_at(tiny(), {"defense.ema": 0.0}), "data") == config_hash(
        plain, "data"
    )
    undefended = config_at(tiny(), {"defense.method": "none"})
    assert undefended.identity()["defense"] == {"method": "none"}
