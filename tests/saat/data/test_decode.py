import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from saat.data.decode import BLOCK, RESIZES, cache_key, decode_blocks
from saat.data.lists import read_lists

from .samples import folder, input_error, noise_image, splits, write_images, write_pairs


def decode(root: Path, image_size: int = 8, resize: str = "squash") -> np.ndarray:
    lists = read_lists(root)
    return np.concatenate(list(decode_blocks(lists, image_size, resize)))


def key(root: Path, image_size: int = 8, resize: str = "squash") -> str:
    return cache_key(read_lists(root), image_size, resize)[0]


def test_images_come_in_list_order(tmp_path: Path) -> None:
    pixels = decode(folder(tmp_path))
    paths = read_lists(tmp_path).paths
    assert pixels.shape == (25, 3, 8, 8)
    assert pixels.dtype == np.uint8
    for path, image in zip(paths, pixels, strict=True):
        colour = np.asarray(Image.open(tmp_path / path))[0, 0]
        assert (image == colour[:, None, None]).all()


def test_order_holds_across_blocks(tmp_path: Path) -> None:
    content = splits()
    names = [f"{i}.png" for i in range(BLOCK + 20)]
    content["database"] = [(name, "1 0 0") for name in names]
    content["train"] = content["database"][:5]
    write_pairs(tmp_path, content)
    write_images(tmp_path, {"test": content["test"]})
    for i, name in enumerate(names):
        Image.new("RGB", (2, 2), (i % 256, i // 256, 0)).save(tmp_path / name)
    pixels = decode(tmp_path, image_size=2)
    assert [int(p[0, 0, 0]) + 256 * int(p[1, 0, 0]) for p in pixels[: len(names)]] == list(
        range(len(names))
    )


def test_squash_is_the_antialiased_bilinear_resize(tmp_path: Path) -> None:
    folder(tmp_path)
    image = noise_image(90, 60)
    image.save(tmp_path / "images/d0.png")
    expected = functional.resize(torch.from_numpy(np.array(image)).permute(2, 0, 1), [16, 16])
    got = torch.from_numpy(decode(tmp_path, image_size=16)[0])
    assert (got.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("size", [(90, 61), (61, 90), (77, 77), (640, 333)])
@pytest.mark.parametrize("image_size", [32, 64, 224])
def test_crop_is_torchvisions(tmp_path: Path, size: tuple[int, int], image_size: int) -> None:
    folder(tmp_path)
    image = noise_image(*size)
    image.save(tmp_path / "images/d0.png")
    resized = functional.resize(image, round(image_size * 256 / 224))
    expected = np.asarray(functional.center_crop(resized, image_size)).transpose(2, 0, 1)
    assert np.array_equal(decode(tmp_path, image_size, "crop")[0], expected)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    folder(tmp_path)
    image = noise_image(8, 8).convert(mode)
    image.save(tmp_path / "images/d0.png", format="TIFF")
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode(tmp_path)[0], expected)


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    folder(tmp_path)
    image = noise_image(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90°
    image.save(tmp_path / "images/d0.png", exif=exif)
    assert np.array_equal(decode(tmp_path)[0], np.asarray(image).transpose(2, 0, 1))


def test_the_key_sees_files_and_settings(tmp_path: Path) -> None:
    root = folder(tmp_path)
    base = key(root)
    assert base == key(root)
    keys = {base, key(root, image_size=9), key(root, resize="crop")}
    os.utime(root / "images/d3.png", ns=(5, 5))
    keys.add(key(root))
    noise_image(20, 20).save(root / "images/d3.png")
    os.utime(root / "images/d3.png", ns=(5, 5))
    keys.add(key(root))
    assert len(keys) == 5


def test_labels_do_not_change_the_key(tmp_path: Path) -> None:
    root = folder(tmp_path)
    base = key(root)
    content = splits()
    content["test"] = [(path, "0 0 0") for path, _ in content["test"]]
    assert key(write_pairs(root, content)) == base


def test_a_missing_image_names_list_and_line(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/d7.png").unlink()
    (root / "images/t1.png").unlink()
    message = input_error(lambda: key(root))
    assert message == f"{root}/database_img.txt:8: image {root}/images/d7.png: no such file"


def test_a_folder_as_image_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/t1.png").unlink()
    (root / "images/t1.png").mkdir()
    assert input_error(lambda: key(root)).startswith(f"{root}/test_img.txt:2: image")


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    content = splits()
    content["test"][1] = ("images/\0.png", "1 0 1")
    message = input_error(lambda: key(write_pairs(root, content)))
    assert f"{root}/test_img.txt:2: image" in message


@pytest.mark.parametrize("link", ["file", "folder"])
def test_links_cannot_leave_the_folder(tmp_path: Path, link: str) -> None:
    root = folder(tmp_path / "set")
    if link == "file":
        (root / "images/d2.png").rename(tmp_path / "outside.png")
        (root / "images/d2.png").symlink_to(tmp_path / "outside.png")
    else:
        (root / "images").rename(tmp_path / "outside")
        (root / "images").symlink_to(tmp_path / "outside")
    message = input_error(lambda: key(root))
    assert f"{root}/database_img.txt:{3 if link == 'file' else 1}: image" in message
    assert f"{tmp_path}/outside" in message
    assert "must lie inside" in message


def test_links_within_the_folder_are_allowed(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "images/d2.png").rename(root / "other.png")
    (root / "images/d2.png").symlink_to(root / "other.png")
    (tmp_path / "link").symlink_to(root)
    assert key(root) == key(tmp_path / "link")
    assert decode(tmp_path / "link").shape[0] == 25


def test_a_link_to_nothing_is_a_missing_image(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "images/d2.png").unlink()
    (root / "images/d2.png").symlink_to("nowhere.png")
    assert "database_img.txt:3:" in input_error(lambda: key(root))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_truncated_image_names_list_and_line(tmp_path: Path, form: str, resize: str) -> None:
    root = folder(tmp_path)
    noise_image(64, 64).save(root / "images/t2.png", format=form)
    os.truncate(root / "images/t2.png", 2000)
    message = input_error(lambda: decode(root, resize=resize))
    assert f"{root}/test_img.txt:3: image {root}/images/t2.png: damaged: " in message


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_no_image_names_list_and_line(tmp_path: Path, content: bytes) -> None:
    root = folder(tmp_path)
    (root / "images/d4.png").write_bytes(content)
    message = input_error(lambda: decode(root))
    assert message == (
        f"{root}/database_img.txt:5: image {root}/images/d4.png: not an image that Pillow can read"
    )


def test_of_several_bad_images_the_first_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for name in ("d4", "d5", "d9", "d16", "t0"):
        (root / f"images/{name}.png").write_bytes(b"x")
    for _ in range(5):
        assert "database_img.txt:5:" in input_error(lambda: decode(root))
