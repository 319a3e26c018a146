"""The schema of entries: what is written is read back, and anything else is told in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.section import parsed
from harness.leaderboard.entry import Entry
from harness.leaderboard.references import REFERENCES
from harness.leaderboard.store import add_entries, read_entries
from reports.checksums import read_json, with_checksum
from saat.defenses import DEFENSES
from saat.errors import InputError
from tests.harness.leaderboard_entries import EVALUATION, entry, estimate, raw, written


def fault(folder: Path, content: dict[str, Any], name: str = "") -> str:
    path = written(folder, content, name)
    with pytest.raises(InputError) as raised:
        read_entries(folder)
    line = raised.value.faults[0]
    assert line.startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    return line.removeprefix(f"{path}: ")


def test_an_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = entry(claimed={"clean_map": 0.7, "robust_map": None})
    assert add_entries(tmp_path, [one]) == [f"{tmp_path / one.board / one.slug}.json: added"]
    assert read_entries(tmp_path) == [one]
    stored = read_json(tmp_path / one.board / f"{one.slug}.json")
    assert stored["measured"]["robust_map"]["mean"] == 0.3  # a number, not a text
    assert [path.suffix for path in (tmp_path / one.board).iterdir()] == [".json"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"schema_version": 2}, "schema_version: 2: one of 1"),
        ({"measured__robust_map": "0.3"}, "measured.robust_map: '0.3': a section of keys"),
        (
            {"measured__robust_map": estimate(0.3) | {"mean": "0.3"}},
            "measured.robust_map.mean: '0.3': a number",
        ),
        (
            {"measured__clean_map": estimate(0.6) | {"high": 61.0}},
            "measured.clean_map.high: 61.0: at most 1",
        ),
        (
            {"measured__clean_map": estimate(0.6) | {"low": None}},
            "measured.clean_map: low and high: both or none of them",
        ),
        ({"measured__clean_map": estimate(0.6, -0.1)}, "measured.clean_map: low: 0.7: at most"),
        ({"measured__seeds": [1, 1]}, "measured: seeds: one of them is there twice"),
        ({"measured__seeds": []}, "measured.seeds: []: at least 1 of them"),
        (
            {"measured__clean_map": estimate(0.2)},
            "measured: robust_map.mean: 0.3: at most clean_map.mean, 0.2",
        ),
        ({"verification__trials": ["a"]}, "verification.trials: one for each of measured.seeds"),
        ({"verification__numbers": 0}, "verification.numbers: 0: at least 1"),
        ({"model__bit": 32}, "model.bit: unknown key; did you mean bits?"),
        ({"model__bits": 32.5}, "model.bits: 32.5: a whole number"),
        ({"name": "a\x1b[31m"}, "name: 'a\\x1b[31m': a line of text without control characters"),
        ({"name": "x" * 500}, "name: "),
        ({"config_hash": "../../etc"}, "config_hash: '../../etc': 64 hexadecimal digits"),
        ({"defense__method": "../x"}, "defense.method: '../x': a letter, then"),
        ({"claimed": {}}, "claimed: clean_map or robust_map is needed"),
        ({"claimed": {"clean_map": 71}}, "claimed.clean_map: 71: at most 1"),
        ({"gates__failed": ["scale: no"]}, "gates: unreliable: 1 gate failed; true"),
        ({"origin__finished": "yesterday"}, "origin.finished: 'yesterday': "),
        ({"protocol__hash": "0" * 64}, "protocol.hash: 0000000000…: not that of data, evaluation"),
        ({"threat_model__eps": 4 / 255}, "threat_model.eps: 0.01568"),
        ({"threat_model__norm": "l3"}, "threat_model.norm: 'l3': one of 'linf', 'l2' or 'l1'"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    assert line in fault(tmp_path, raw(**changes), "x")


@pytest.mark.parametrize(
    "link",
    ["http://example.org", "javascript:alert(1)", "https://", 'https://a/"><script>', "https://u@h",
     "https://[", "https://a b"],
)  # fmt: skip
def test_a_link_is_an_https_address(tmp_path: Path, link: str) -> None:
    reference = {"paper": "A", "year": 2023, "link": link}
    line = fault(tmp_path, raw(defense__reference=reference), "x")
    assert line.startswith("defense.reference.link: ")
    assert line.endswith("an address that begins with https://, without a user")


def test_numbers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    text = path.read_text().replace('"mean": 0.3', '"mean": NaN')
    path.write_text(text)
    with pytest.raises(InputError, match=r"json: measured\.robust_map\.mean: nan|damaged"):
        read_entries(tmp_path)


def test_a_changed_byte_shows(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    path.write_text(path.read_text().replace('"mean": 0.3', '"mean": 0.29'))
    with pytest.raises(InputError, match="damaged: the checksum does not match"):
        read_entries(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a":' * 50, "\udcff", '"x"'])
def test_what_is_no_entry_is_one_line(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, raw())
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="damaged"):
        read_entries(tmp_path)


def test_an_entry_in_the_folder_of_another_protocol_is_refused(tmp_path: Path) -> None:
    other = raw(protocol__evaluation=EVALUATION | {"steps": 10})
    board = parsed(Entry, other).board
    assert fault(tmp_path, other) == f"an entry of another protocol; its folder is {board}"


def test_an_entry_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    assert "of another setting; its file is saat-32-bbbbbbbbbb.json" in fault(
        tmp_path, raw(digit="b")
    )


def test_adding_the_same_entry_twice_is_said(tmp_path: Path) -> None:
    one = entry()
    path = tmp_path / one.board / f"{one.slug}.json"
    add_entries(tmp_path, [one])
    before = path.read_bytes()
    assert add_entries(tmp_path, [one]) == [f"{path}: already there, as it is"]
    assert path.read_bytes() == before


def test_another_entry_of_the_setting_has_to_be_asked_for(tmp_path: Path) -> None:
    one, other, third = entry(), entry(robust=0.25), entry(digit="b")
    path = tmp_path / one.board / f"{one.slug}.json"
    add_entries(tmp_path, [one])
    with pytest.raises(InputError, match=r"of run demo, seeds 1, 2; --replace puts this one"):
        add_entries(tmp_path, [third, other])
    assert read_entries(tmp_path) == [one]  # nothing of the two was written
    assert add_entries(tmp_path, [other], replace=True) == [f"{path}: replaced"]
    path.write_text("{")
    assert add_entries(tmp_path, [other], replace=True) == [f"{path}: replaced"]
    assert read_entries(tmp_path) == [other]


def test_a_link_in_the_place_of_an_entry_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(InputError, match="a link, not a file"):
        read_entries(tmp_path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    path.write_text(json.dumps(with_checksum({"x": "y" * 2**19})))
    with pytest.raises(InputError, match="larger than 256 KiB"):
        read_entries(tmp_path)


def test_every_defense_of_ours_has_its_paper() -> None:
    own = {name for name in DEFENSES if DEFENSES.package(name) == "saat-harness"}
    assert set(REFERENCES) == own
    for name, reference in REFERENCES.items():
        assert entry(defense__reference=dict(reference)), name
