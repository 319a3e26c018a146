"""The journal: durable, single-writer, and honest about damage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.journal.journal import Journal, read, repair
from saat.errors import InputError


def written(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder)
    journal.append("started")
    for number in range(1, count):
        journal.append("epoch", epoch=number, text="λ\n\u2028")
    journal.close()
    return journal.path


def without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k != "time"} for event in events]


def test_events_survive_closing_and_opening(tmp_path: Path) -> None:
    path = written(tmp_path)
    journal = Journal(tmp_path)
    assert [event["seq"] for event in journal.events] == [0, 1, 2, 3]
    assert journal.events[2]["text"] == "λ\n\u2028"
    journal.append("finished")
    journal.close()
    assert [event["event"] for event in read(path)] == ["started", *["epoch"] * 3, "finished"]


def test_an_event_is_in_the_file_before_any_listener_hears_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    heard: list[list[dict[str, Any]]] = []
    journal.listen(lambda event: heard.append(read(journal.path)))
    event = journal.append("started", a=1)
    assert heard == [[event]]
    journal.close()


def test_an_unfinished_last_line_is_cut_off_and_the_rest_stays(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for torn in (b'{"seq": 4', b"{", b"\xff\xfe", b'{"seq": 4, "event": "epoch"}'):
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
        events = repair(path)
        assert len(events) == whole[:size].count(b"\n")
        assert path.read_bytes() == whole[: whole[:size].rfind(b"\n") + 1]


def damage_garbage(lines: list[str]) -> None:
    lines[2] = "garbage\n"


def damage_lost(lines: list[str]) -> None:
    del lines[2]


def damage_twice(lines: list[str]) -> None:
    lines.insert(2, lines[1])


def damage_list(lines: list[str]) -> None:
    lines[2] = "[1]\n"


def damage_blank(lines: list[str]) -> None:
    lines[2] = "\n"


def damage_second_start(lines: list[str]) -> None:
    lines[2] = json.dumps({"seq": 2, "event": "started"}) + "\n"


@pytest.mark.parametrize(
    "damage",
    [damage_garbage, damage_lost, damage_twice, damage_list, damage_blank, damage_second_start],
)
def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path, damage: Any) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    damage(lines)
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
    journal.listen(heard.append)
    with pytest.raises(OSError, match="No space"):
        journal.append("epoch")
    assert len(journal.events) == 1
    assert heard == []
