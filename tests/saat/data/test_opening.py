from pathlib import Path

import pytest

from saat.data import DATASETS, RetrievalData
from saat.data_source import source_problem
from saat.errors import InputError

from .samples import folder, input_error, opened


def test_the_registry_can_be_read() -> None:
    known = {name: entry.classes for name, entry in DATASETS.items()}
    assert known == {
        "digits": 10,
        "digits_mini": 10,
        "digits100": 100,
        "flickr25k": 38,
        "nuswide": 21,
        "mscoco": 80,
        "cifar10": 10,
        "imagenet100": 100,
    }
    for entry in DATASETS.values():
        assert entry.description
        assert entry.obtain


@pytest.mark.parametrize("both", [True, False])
def test_exactly_one_of_name_and_path(tmp_path: Path, both: bool) -> None:
    name, path = ("digits", tmp_path) if both else (None, None)
    problem = source_problem(name, path, None, DATASETS)
    assert "exactly one of name and path" in str(problem)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("digit", "; did you mean digits?"),
        ("Digits", "; did you mean digits?"),
        ("cifar-10", "; did you mean cifar10?"),
        ("", "a folder of image lists"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known_one(name: str, nearest: str) -> None:
    message = input_error(lambda: RetrievalData.named(name))
    assert f"unknown name {name!r}: " in message
    assert message.endswith(nearest)
    assert ", ".join(DATASETS) in message


@pytest.mark.parametrize("source", [{"name": "digits"}, {"path": "/data/toys"}])
def test_a_root_belongs_to_listed_sets_alone(source: dict[str, str]) -> None:
    problem = source_problem(source.get("name"), source.get("path"), "/data", DATASETS)
    assert str(problem).startswith("root '/data': ")
    with pytest.raises(InputError, match="root '/data': digits is embedded"):
        RetrievalData.named("digits", root="/data")


@pytest.mark.parametrize(("image_size", "val_queries"), [(0, 1), (-3, 1), (8, -1), (4097, 1)])
def test_numbers_out_of_range_are_refused(image_size: int, val_queries: int) -> None:
    message = input_error(
        lambda: RetrievalData.named("digits", image_size=image_size, val_queries=val_queries)
    )
    assert f"image_size {image_size}" in message or f"val_queries {val_queries}" in message


@pytest.mark.parametrize("source", [{"path": "~nobody-here/x"}, {"name": "cifar10"}])
def test_a_home_that_is_none_is_refused(
    source: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAAT_DATA", "~nobody-here/x")
    message = input_error(lambda: opened(**source))
    where = "data.path:" if "path" in source else "data: SAAT_DATA"
    assert message.startswith(f"{where} ~nobody-here/x: there is no such user")


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAAT_CACHE", str(tmp_path / "cache"))
    RetrievalData.from_folder(str(folder(tmp_path / "toys")), image_size=8, val_queries=2)
    assert len(list((tmp_path / "cache/images").glob("*/images.npy"))) == 1
