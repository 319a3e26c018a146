"""``saat leaderboard``: what verifies becomes an entry; anything else is one line and no file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.__main__ import main
from harness.leaderboard.store import read_entries
from saat import tensor_file
from tests.harness.test_bad_input import check_line, tree
from tests.harness.tiny import tiny_raw

pytestmark = pytest.mark.slow


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as raised:
        main(list(arguments))
    return int(str(raised.value.code))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two settings on the tiny digits."""
    root = tmp_path_factory.mktemp("leaderboard")
    raw = tiny_raw({"compare": {"a": {}, "b": {"defense.lambda": 3}}, "confirm.seeds": 2})
    (root / "tiny.yaml").write_text(yaml.safe_dump(raw))
    runs = ["--executor", "inline", "--runs-dir", f"{root}/runs"]
    assert ended("compare", f"{root}/tiny.yaml", *runs) == 0
    return root / "runs" / "tiny"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "tiny", ignore=shutil.ignore_patterns("report"))


def add(run: Path, *more: str) -> int:
    into = str(run.parent / "board")
    return ended("leaderboard", "add", "tiny", "--runs-dir", str(run.parent), "--into", into, *more)


def trial(run: Path, setting: str = "a") -> Path:
    """The folder of a trial of a setting."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    ids = [e["trial"]["trial_id"] for e in events if e["event"] == "suggested"
           and e["trial"]["role"] == setting]  # fmt: skip
    return run / "trials" / str(ids[0])


def refused(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The line of a refusal, after which nothing was written."""
    capsys.readouterr()
    status = add(run, *more)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("verifying ")]
    check_line(status, out, "\n".join(lines))
    assert not (run.parent / "board").exists()
    return lines[0]


def test_a_finished_run_becomes_entries_and_pages(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(run)
    assert add(run, "--setting", "a", "--claimed", "map=0.7,robust=0.4") == 0
    assert capsys.readouterr().out.endswith("json: added\n")
    assert tree(run) == before
    board = run.parent / "board"
    (one,) = read_entries(board)
    assert one.measured.seeds == [0, 1]
    assert one.claimed is not None
    assert (one.claimed.clean_map, one.claimed.robust_map) == (0.7, 0.4)
    assert one.defense.reference is not None
    assert one.defense.reference.year == 2023
    assert not one.gates.checked
    assert one.verification.numbers > 2 * 4 * 100  # AP of every query of four trials
    result = json.loads((trial(run) / "result.json").read_text())["metrics"]
    second = run / "trials" / one.verification.trials[1]
    other = json.loads((second / "result.json").read_text())["metrics"]
    mean = (result["test/robust_map"] + other["test/robust_map"]) / 2
    assert one.measured.robust_map.mean == pytest.approx(mean, abs=1e-12)
    assert one.measured.robust_map.low <= mean <= one.measured.robust_map.high

    assert add(run, "--setting", "b") == 0
    assert ended("leaderboard", "page", "--into", str(board)) == 0
    page = Path(capsys.readouterr().out.splitlines()[-1]).read_text(encoding="utf-8")
    assert "+" in page
    assert ">40.0<" in page


def test_adding_twice_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(run) == 0
    before = tree(run.parent / "board")
    capsys.readouterr()
    assert add(run) == 0
    assert capsys.readouterr().out.count("already there, as it is") == 2
    assert tree(run.parent / "board") == before
    assert add(run, "--setting", "a", "--claimed", "map=0.9") == 2
    assert "--replace puts this one in its place" in capsys.readouterr().err
    assert tree(run.parent / "board") == before
    assert add(run, "--setting", "a", "--claimed", "map=0.9", "--replace") == 0
    assert capsys.readouterr().out.endswith("json: replaced\n")


def changed_byte(run: Path) -> None:
    """A byte in the stored images, whose own checksum then fails."""
    path = trial(run) / "adversarial.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))


def changed_image(run: Path) -> None:
    path = trial(run) / "adversarial.npz"
    arrays = dict(np.load(path))
    arrays["hag"][:50] = arrays["mainstay"][:50]
    np.savez(path, **arrays)


def changed_number(run: Path) -> None:
    path = trial(run) / "result.json"
    content = json.loads(path.read_text())
    content["metrics"]["test/robust_map"] += 0.001
    path.write_text(json.dumps(content))


def changed_model(run: Path, change: Any) -> None:
    path = trial(run) / "model.safetensors"
    tensors, meta = tensor_file.load(path)
    change(meta)
    tensor_file.save(path, tensors, meta)


def of_smaller_ball(run: Path) -> None:
    changed_model(run, lambda meta: meta["evaluation"].update(eps=4 / 255))


def of_other_seed(run: Path) -> None:
    changed_model(run, lambda meta: meta.update(seed=7))


def of_other_setting(run: Path) -> None:
    changed_model(run, lambda meta: meta["setting"]["defense"].update(mu=0.5))


def without_images(run: Path) -> None:
    (trial(run) / "adversarial.npz").unlink()


def of_other_evaluation(run: Path) -> None:
    path = run / "experiment.yaml"
    content = yaml.safe_load(path.read_text())
    content["evaluation"]["steps"] = 99
    path.write_text(yaml.safe_dump(content))


def unfinished(run: Path) -> None:
    path = run / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if '"event": "finished"' in line)
    path.write_text("".join(lines[:end]))


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (changed_byte, "adversarial.npz"),
        (changed_image, "not what the images give, the first: "),
        (changed_number, "refused: 1 number is not what the images give, the first: "),
        (of_smaller_ball, "evaluation: not that of the run, so of another protocol"),
        (of_other_seed, "seed: not that of the run"),
        (of_other_setting, "setting: not that of the run"),
        (without_images, "kept no attacked images"),
        (of_other_evaluation, "evaluation or confirm.battery is not what the search began with"),
        (unfinished, "has not ended; allowed: a finished run"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_that_was_tampered_with_is_refused(
    run: Path, tamper: Any, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(run)
    assert line in refused(run, capsys)


def test_a_run_of_a_foreign_protocol_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(run, capsys, "--protocol", "digits-linf-8-core-01234567")
    assert "measured under protocol digits-mini-linf-8-none-" in said
    assert said.endswith("not --protocol digits-linf-8-core-01234567")
    own = said.partition("protocol ")[2].partition(",")[0]
    assert add(run, "--setting", "a", "--protocol", own) == 0
    (one,) = read_entries(run.parent / "board")
    assert add(run, "--setting", "a", "--protocol", one.protocol.hash[:12]) == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--setting", "c"], "--setting c: one of: "),
        (["--setting", ""], "--setting '': one of: "),
        (["--claimed", "map=0.7"], "--claimed: belongs to one setting, and 2 are chosen"),
        (["--claimed", "map=71"], "--claimed map=71: a fraction from 0 to 1"),
        (["--claimed", "map=nan"], "--claimed map=nan: a fraction from 0 to 1"),
        (["--claimed", "map=0.1,map=0.2"], "--claimed map=0.2: each of map=FRACTION and"),
        (["--claimed", "clean=0.1"], "--claimed clean=0.1: each of map=FRACTION and"),
        (["--claimed", ""], "--claimed '': each of map=FRACTION and"),
        (["--paper", "A"], "--paper: goes with --year"),
        (["--year", "2023"], "--paper: goes with --year"),
        (["--link", "https://example.org"], "--paper: goes with --year, and --link with both"),
        (["--paper", "A", "--year", "23"], "reference.year: 23: at least 1950"),
        (["--paper", "A", "--year", "2023", "--link", "ftp://a"], "reference.link: 'ftp://a': "),
        (["--paper", "", "--year", "2023"], "reference.paper: '': a line of text"),
        (["--protocol", ""], "not --protocol ''"),
    ],
)
def test_wrong_options(
    run: Path, options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(run, capsys, *options)


def test_a_folder_that_is_a_file_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run.parent / "file").write_text("")
    status = ended("leaderboard", "add", "tiny", "--runs-dir", str(run.parent), "--into",
                   str(run.parent / "file"))  # fmt: skip
    assert status == 2
    assert "--into" in capsys.readouterr().err
    assert ended("leaderboard", "page", "--into", str(run.parent / "file")) == 2
