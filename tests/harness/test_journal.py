"""The journal: durable, single-writer, and honest about damage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.journal.events import KINDS
from harness.journal.journal import Journal, line_of, read
from saat.errors import InputError
from tests.harness.fakes import STARTED, experiment, finished


def written(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder)
    journal.append("started", **STARTED)
    for number in range(1, count):
        journal.append("stopped_exploring", number=number, reason="λ\n\u2028")
    journal.close()
    return journal.path


def without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k != "time"} for event in events]


def test_events_survive_closing_and_opening(tmp_path: Path) -> None:
    path = written(tmp_path)
    journal = Journal(tmp_path)
    assert [event["seq"] for event in journal.events] == [0, 1, 2, 3]
    assert journal.events[2]["reason"] == "λ\n\u2028"
    journal.append("finished")
    journal.close()
    assert [event["event"] for event in read(path)] == [
        "started",
        *["stopped_exploring"] * 3,
        "finished",
    ]


def test_an_event_is_in_the_file_before_any_listener_hears_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    heard: list[list[dict[str, Any]]] = []
    journal.on_event(lambda event: heard.append(read(journal.path)))
    event = journal.append("started", **STARTED)
    assert heard == [[event]]
    journal.close()


def test_an_unfinished_last_line_is_cut_off_and_the_rest_stays(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    last = line_of({"seq": 4, "time": 1.0, "event": "finished"}).strip()
    for torn in (b'{"seq": 4', b"{", b"\xff\xfe", b'{"seq": 4, "event": "epoch"}', last):
        path.write_bytes(whole + torn)
        journal = Journal(tmp_path)
        assert len(journal.events) == 4
        assert path.read_bytes() == whole
        journal.close()


def test_a_journal_torn_at_any_byte_opens_with_its_whole_lines(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes()
    path = tmp_path / "events.jsonl"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        events = read(path, repair=True)
        assert len(events) == whole[:size].count(b"\n")
        assert path.read_bytes() == whole[: whole[:size].rfind(b"\n") + 1]


SECOND_START = json.dumps({"seq": 2, "event": "started"}) + "\n"


@pytest.mark.parametrize("third", ["garbage\n", "", "second, third", "[1]\n", "\n", SECOND_START])
def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path, third: str) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[1] + lines[2] if third == "second, third" else third
    path.write_text("".join(lines))
    before = path.read_bytes()
    pattern = r"events\.jsonl: line 3: .*damaged"
    with pytest.raises(InputError, match=pattern):
        read(path)
    with pytest.raises(InputError, match=pattern) as first:
        Journal(tmp_path)
    with pytest.raises(InputError, match=pattern):
        Journal(tmp_path)  # not: another process is running this search
    assert first.value is not None
    assert path.read_bytes() == before


def test_a_journal_that_does_not_begin_with_the_start_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(json.dumps({"seq": 0, "event": "epoch"}) + "\n")
    with pytest.raises(InputError, match=r"line 1: .*damaged"):
        read(tmp_path / "events.jsonl")


@pytest.mark.slow
def test_a_second_opener_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    written(tmp_path)
    first = Journal(tmp_path)
    code = (
        "import sys; from pathlib import Path; from harness.journal.journal import Journal\n"
        "from saat.errors import InputError\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except InputError as error: print(error); sys.exit(2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2, second.stderr
    assert "another process is running this search" in second.stdout
    with pytest.raises(InputError, match="another process"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


def test_reading_changes_nothing_even_while_a_line_is_being_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"seq": 4, "ev')
    before, stat = path.read_bytes(), path.stat()
    assert len(read(path)) == 4
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert read(tmp_path / "nowhere.jsonl") == []
    assert not (tmp_path / "nowhere.jsonl").exists()


def test_a_full_disk_is_an_error_and_the_event_has_not_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append("started")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    heard: list[Any] = []
    journal.on_event(heard.append)
    with pytest.raises(OSError, match="No space"):
        journal.append("epoch")
    assert len(journal.events) == 1
    assert heard == []


# --- checksums and types


def test_every_flipped_bit_of_a_whole_line_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 1
    for position in range(begin, whole.index(b"\n", begin)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"line [23]: .*damaged"):
                read(path)


def without_checksums(path: Path) -> list[dict[str, Any]]:
    """Rewrite a journal as versions without checksums had it; its events."""
    events = read(path)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return events


def test_a_journal_without_checksums_is_read_on_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path)
    assert caplog.text == ""
    events = without_checksums(path)
    assert read(path) == events
    journal = Journal(tmp_path)
    assert journal.events == events
    journal.append("finished")
    journal.close()
    assert [event["event"] for event in read(path)][-1] == "finished"
    assert len(caplog.records) == 1
    assert "without checksums" in caplog.text
    line = path.read_bytes().splitlines()[-1]
    path.write_bytes(path.read_bytes().replace(line, line.replace(b"finished", b"reported")))
    with pytest.raises(InputError, match="line 5: the checksum does not match"):
        read(path)


def test_after_a_line_with_a_checksum_all_have_one(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = json.dumps(read(path)[2]).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="line 3: no checksum; the journal is damaged"):
        read(path)


@pytest.fixture(scope="module")
def search_events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A whole search with every end of a trial."""
    run_dir = tmp_path_factory.mktemp("events")
    finished(run_dir, experiment(search__num_samples=9), fails=(3.0, 5.0))
    return read(run_dir / "events.jsonl")


NAN, INF = float("nan"), float("inf")
ID = "trial_id"
# Kind of event, where in it, what is there, and what the line must name.
WRONG: list[tuple[str, str, Any, str]] = [
    ("epoch", "metrics", "", "metrics"),
    ("epoch", "metrics", [1], "metrics"),
    ("epoch", "metrics.val/clean_map", {}, "metrics"),
    ("epoch", "metrics.val/clean_map", "0.5", "metrics"),
    ("epoch", "metrics.val/clean_map", True, "metrics"),
    ("epoch", "metrics.val/clean_map", INF, "val/clean_map is inf"),
    ("epoch", "metrics.val/robust_map", -0.1, "val/robust_map is -0.1"),
    ("epoch", "metrics.val/zero_grad", 2, "val/zero_grad is 2"),
    ("completed", "metrics.reattack/floor_map", 1.5, "reattack/floor_map is 1.5"),
    ("completed", "metrics.test/map.hag", 1.5, "test/map.hag is 1.5"),
    ("completed", "metrics", None, "metrics"),
    ("completed", "epochs", -1, "epochs"),
    ("completed", "unreliable", "all of it", "unreliable"),
    ("completed", "host", 1, "host"),
    ("epoch", "epoch", 1.0, "epoch"),
    ("epoch", "epoch", "1", "epoch"),
    ("epoch", "seconds", -1, "seconds"),
    ("epoch", "cost_s", NAN, "cost_s"),
    ("epoch", "time", "now", "time"),
    ("epoch", "event", "epoc", "event"),
    ("epoch", "event", None, "event"),
    ("failed", "stop_reason", 3, "stop_reason"),
    ("recommended", "trial_ids", "all", "trial_ids"),
    ("recommended", "trial_ids", ["../../x"], "trial_ids.0"),
    ("suggested", "point.defense.lambda", INF, "defense.lambda is inf"),
    ("suggested", "point", [], "point"),
    ("suggested", "notes", "", "notes"),
    ("suggested", "config_hash", 3, "config_hash"),
    ("suggested", "trial.number", 7777, "trial.number"),
    ("suggested", "trial.seed", "0", "trial.seed"),
    ("suggested", "trial.phase", "test", "trial.phase"),
    ("suggested", "trial.setting", {}, "trial.setting.data"),
    ("suggested", "trial.setting", [], "trial.setting"),
    ("suggested", "trial.setting.defense", {"method": "saat", "epochs": "6"}, "defense.epochs"),
    ("started", "plan", "explore", "plan"),
    ("started", "search_id", "x' or 1", "search_id"),
    ("started", "tracking_uri", 5, "tracking_uri"),
    ("started", "executor", "sh", "executor"),
    ("started", "device", "tpu", "device"),
    ("started", "packing", {"peak": []}, "packing"),
    *[
        ("suggested", "trial.trial_id", hostile, "trial.trial_id: not HASH-PHASE-SEED")
        for hostile in (
            "../../x",
            "/etc/x",
            "..",
            "",
            "0123456789-explore-0\0",
            "0123456789-explore-0\n",
            "0123456789-explore-0/../../x",
            "0123456789-explore-\u0660",
            "0123456789-train",
        )
    ],
]


@pytest.mark.parametrize(("kind", "key", "value", "named"), WRONG)
def test_a_value_of_another_type_is_an_error_although_its_checksum_is_right(
    search_events: list[dict[str, Any]],
    tmp_path: Path,
    kind: str,
    key: str,
    value: Any,
    named: str,
) -> None:
    events = json.loads(json.dumps(search_events))
    number, event = next((i, e) for i, e in enumerate(events) if e["event"] == kind)
    section, dot, name = key.partition(".")
    if section == "trial" and name.startswith("setting."):
        event["trial"]["setting"][name.partition(".")[2]] = value
    elif dot:
        event[section][name] = value
    else:
        event[section] = value
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(line_of, events)))
    with pytest.raises(InputError, match=rf"line {number + 1}: .*damaged") as error:
        read(path)
    assert named in str(error.value)


def test_every_kind_of_event_of_a_search_is_known(search_events: list[dict[str, Any]]) -> None:
    assert {event["event"] for event in search_events} <= set(KINDS)


def test_a_metric_that_was_not_measured_is_no_damage(
    search_events: list[dict[str, Any]], tmp_path: Path
) -> None:
    events = json.loads(json.dumps(search_events))
    next(e for e in events if e["event"] == "epoch")["metrics"]["val/zero_grad"] = NAN
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(line_of, events)))
    assert len(read(path)) == len(events)


def test_what_is_no_file_is_named_and_never_followed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    outside = tmp_path / "outside"
    path.symlink_to(outside)
    for opened, of in ((read, path), (Journal, tmp_path)):
        with pytest.raises(InputError, match=r"events\.jsonl: a link, not a file"):
            opened(of)
    assert not outside.exists()
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"events\.jsonl: a folder, not a file"):
        read(path)


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"seq": ' + b"9" * 5000 + b"}", b"\x00"])
def test_a_line_that_no_parser_likes_is_damage(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"line 1: .*damaged"):
        read(path)
