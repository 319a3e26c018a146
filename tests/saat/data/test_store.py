import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from saat.data import store
from saat.data.store import checksum_of, open_or_build
from saat.data_source import default_cache_dir

SHAPE = (10, 3, 4, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def pixels(rows: range) -> np.ndarray:
    return PIXELS[rows.start : rows.stop]


def never(rows: range) -> np.ndarray:
    raise AssertionError("built although the entry is whole")


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCK_IMAGES", 4)


def entry(cache: Path) -> Path:
    return cache / "images" / "key"


def logged_build(cache: Path, log: Path) -> None:
    """What each of several processes does; the builder leaves a line."""

    def slow(rows: range) -> np.ndarray:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return pixels(rows)

    assert np.array_equal(open_or_build(cache, "key", SHAPE, slow).images, PIXELS)


def stuck_build(cache: Path, half_done: Path) -> None:
    def stuck(rows: range) -> np.ndarray:
        half_done.touch()
        time.sleep(120)
        return pixels(rows)

    open_or_build(cache, "key", SHAPE, stuck)


def test_pixels_come_back_as_a_read_only_map(tmp_path: Path) -> None:
    images = open_or_build(tmp_path, "key", SHAPE, pixels).images
    assert isinstance(images, np.memmap)
    assert np.array_equal(images, PIXELS)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0
    assert np.array_equal(np.load(entry(tmp_path) / "images.npy"), PIXELS)


def test_a_whole_entry_is_not_built_again(tmp_path: Path) -> None:
    open_or_build(tmp_path, "key", SHAPE, pixels)
    assert np.array_equal(open_or_build(tmp_path, "key", SHAPE, never).images, PIXELS)


def test_progress_counts_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    open_or_build(tmp_path, "key", SHAPE, pixels, lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def flip_byte(folder: Path) -> None:
    with (folder / "images.npy").open("r+b") as file:
        file.seek(-7, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def truncate(folder: Path) -> None:
    os.truncate(folder / "images.npy", 200)


def lengthen(folder: Path) -> None:
    with (folder / "images.npy").open("ab") as file:
        file.write(b"\0")


def remove_array(folder: Path) -> None:
    (folder / "images.npy").unlink()


def remove_sidecar(folder: Path) -> None:
    (folder / "entry.json").unlink()


def cut_sidecar(folder: Path) -> None:
    os.truncate(folder / "entry.json", 20)


def empty_sidecar(folder: Path) -> None:
    (folder / "entry.json").write_text("{}")


def list_sidecar(folder: Path) -> None:
    (folder / "entry.json").write_text("[]")


def other_key(folder: Path) -> None:
    sidecar = json.loads((folder / "entry.json").read_text())
    (folder / "entry.json").write_text(json.dumps({**sidecar, "key": "other"}))


DAMAGES = [flip_byte, truncate, lengthen, remove_array, remove_sidecar, cut_sidecar]
DAMAGES += [empty_sidecar, list_sidecar, other_key]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_built_again(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    open_or_build(tmp_path, "key", SHAPE, pixels)
    damage(entry(tmp_path))
    assert np.array_equal(open_or_build(tmp_path, "key", SHAPE, pixels).images, PIXELS)
    assert np.array_equal(open_or_build(tmp_path, "key", SHAPE, never).images, PIXELS)


def test_of_large_entries_the_size_alone_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHECKED_ON_LOAD", 100)
    open_or_build(tmp_path, "key", SHAPE, pixels)
    flip_byte(entry(tmp_path))
    open_or_build(tmp_path, "key", SHAPE, never)
    truncate(entry(tmp_path))
    assert np.array_equal(open_or_build(tmp_path, "key", SHAPE, pixels).images, PIXELS)


def test_an_error_while_building_leaves_no_entry(tmp_path: Path) -> None:
    def broken(rows: range) -> np.ndarray:
        if rows.start:
            raise KeyboardInterrupt
        return pixels(rows)

    with pytest.raises(KeyboardInterrupt):
        open_or_build(tmp_path, "key", SHAPE, broken)
    assert [path.name for path in (tmp_path / "images").iterdir() if path.is_dir()] == []


def test_too_few_images_are_never_taken_for_an_entry(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="key: damaged right after"):
        open_or_build(tmp_path, "key", SHAPE, lambda rows: PIXELS[:1])


def test_a_full_disk_is_an_os_error_that_names_the_file(tmp_path: Path) -> None:
    shape = (10, 3, 64, 64)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # stands in for the end of the disk
    try:
        with pytest.raises(OSError, match=r"images\.npy") as caught:
            open_or_build(tmp_path, "key", shape, lambda rows: np.zeros(shape, dtype=np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno is not None
    assert [path.name for path in (tmp_path / "images").iterdir() if path.is_dir()] == []


def test_an_entry_that_is_not_current_is_built_again(tmp_path: Path) -> None:
    def older(rows: range) -> np.ndarray:
        return PIXELS[::-1][rows.start : rows.stop]

    before = open_or_build(tmp_path, "key", SHAPE, older)

    def is_current(images: np.ndarray) -> bool:
        return np.array_equal(images[0], PIXELS[0])

    after = open_or_build(tmp_path, "key", SHAPE, pixels, is_current=is_current)
    assert np.array_equal(after.images, PIXELS)
    assert after.checksum != before.checksum
    again = open_or_build(tmp_path, "key", SHAPE, never, is_current=is_current)
    assert again.checksum == after.checksum == checksum_of(tmp_path, "key")


def test_equal_images_have_equal_checksums(tmp_path: Path) -> None:
    found = [open_or_build(tmp_path, key, SHAPE, pixels).checksum for key in ("key", "other")]
    assert found[0] == found[1] != ""
    assert checksum_of(tmp_path, "nothing") == ""


def test_what_cannot_fit_on_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=PIXELS.nbytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=rf"{PIXELS.nbytes} bytes .* {usage.free} are free") as caught:
        open_or_build(tmp_path, "key", SHAPE, pixels, lambda *done: pytest.fail("began"))
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "images").glob("key*/")) == []


def test_a_block_is_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCK_BYTES", 2 * PIXELS[0].nbytes)
    seen: list[int] = []
    open_or_build(tmp_path, "key", SHAPE, pixels, lambda done, total: seen.append(done))
    assert seen == [2, 4, 6, 8, 10]


@pytest.mark.lengthy
def test_several_processes_build_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    workers = [spawn.Process(target=logged_build, args=(tmp_path, log)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_what_a_killed_builder_left_is_not_trusted(tmp_path: Path) -> None:
    half_done = tmp_path / "half"
    worker = multiprocessing.get_context("spawn").Process(
        target=stuck_build, args=(tmp_path, half_done)
    )
    worker.start()
    deadline = time.monotonic() + 120
    while not half_done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    left = tmp_path / "images" / "key.building"
    assert left.is_dir()
    assert not entry(tmp_path).exists()
    (left / "stray").touch()
    assert np.array_equal(open_or_build(tmp_path, "key", SHAPE, pixels).images, PIXELS)
    assert not left.exists()
    assert sorted(path.name for path in entry(tmp_path).iterdir()) == ["entry.json", "images.npy"]


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAAT_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.setenv("SAAT_CACHE", "")
    assert default_cache_dir() == Path.home() / ".cache" / "saat-harness"
