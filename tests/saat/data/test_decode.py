import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torchvision.transforms import functional

from saat.data.decode import MAX_PIXELS, MAX_SIDE, RESIZES, decode_rows, is_current
from saat.data.layouts import read_lists

from .damage import png_header
from .samples import folder, input_error, noise_image


def decode(root: Path, image_size: int = 8, resize: str = "squash") -> np.ndarray:
    lists = read_lists(root)
    return decode_rows(lists, range(len(lists.paths)), image_size, resize)


def test_images_come_in_list_order(tmp_path: Path) -> None:
    pixels = decode(folder(tmp_path))
    paths = read_lists(tmp_path).paths
    assert pixels.shape == (25, 3, 8, 8)
    assert pixels.dtype == np.uint8
    for path, image in zip(paths, pixels, strict=True):
        colour = np.asarray(Image.open(tmp_path / path))[0, 0]
        assert (image == colour[:, None, None]).all()


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


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "LAB"])
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


def test_a_file_that_cannot_be_read_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, opened = folder(tmp_path), Image.open

    def refuse(file: Path) -> Image.Image:
        if file.name == "d4.png":
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file)

    monkeypatch.setattr(Image, "open", refuse)
    message = input_error(lambda: decode(root))
    assert message == (
        f"{root}/database_img.txt:5: image {root}/images/d4.png: cannot be read: Permission denied"
    )


@pytest.mark.parametrize("error", [KeyError("tag"), RuntimeError("a\nb"), MemoryError()])
def test_whatever_a_decoder_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Image.Image) -> None:
        raise error

    root = folder(tmp_path)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    message = input_error(lambda: decode(root))
    assert message.startswith(f"{root}/database_img.txt:1: image {root}/images/d0.png: damaged: ")
    assert message != f"{root}/database_img.txt:1: image {root}/images/d0.png: damaged: "


def eps(file: Path) -> None:
    noise_image(8, 8).save(file, format="EPS")


def wmf(file: Path) -> None:
    """The header of a placeable metafile of 100 × 100 units, 72 an inch."""
    box = struct.pack("<4hH", 0, 0, 100, 100, 72)
    file.write_bytes(b"\xd7\xcd\xc6\x9a\0\0" + box + bytes(6) + b"\x01\0\t\0" + bytes(40))


@pytest.mark.parametrize(("write", "form"), [(eps, "EPS"), (wmf, "WMF")])
def test_no_other_program_is_started_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], form: str
) -> None:
    root = folder(tmp_path)
    write(root / "images/d4.png")
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("started"))
    message = input_error(lambda: decode(root))
    assert message.endswith(f"images/d4.png: {form} is drawn by another program; save it as PNG")


def test_of_several_bad_images_the_first_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for name in ("d4", "d5", "d9", "d16", "t0"):
        (root / f"images/{name}.png").write_bytes(b"x")
    for _ in range(5):
        assert "database_img.txt:5:" in input_error(lambda: decode(root))


# Of every high byte the largest value: to the nearest of 8 bits most of them would be one more.
RAMP = np.tile(np.arange(255, 65536, 256).astype(np.uint16), (8, 1))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bit_grey_is_scaled_to_8(tmp_path: Path, form: str) -> None:
    root = folder(tmp_path)
    Image.fromarray(RAMP).save(root / "images/d0.png", format=form)
    Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(8, 0)).save(root / "images/d1.png")
    sixteen, eight = decode(root)[:2]
    assert np.array_equal(sixteen, eight)
    assert eight.mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("form", ["PNG", "PPM"])
def test_16_bit_grey_is_scaled_where_pillow_opens_it_with_32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Which mode these formats have depends on the version of Pillow."""
    root, opened = folder(tmp_path), Image.open
    Image.fromarray(RAMP).save(root / "images/d0.png", format=form)
    expected = decode(root)[0]

    def wide(file: Path) -> Image.Image:
        image = opened(file)
        if not image.mode.startswith("I"):
            return image
        found = Image.fromarray(np.asarray(image).astype(np.int32))
        found.format = image.format
        return found

    monkeypatch.setattr(Image, "open", wide)
    assert np.array_equal(decode(root)[0], expected)


def test_16_bit_colours_keep_their_high_byte(tmp_path: Path) -> None:
    root = folder(tmp_path)
    grey, colour = tmp_path / "images/d0.png", tmp_path / "images/d1.png"
    Image.fromarray(RAMP).save(grey, format="PPM")
    samples = RAMP.repeat(3).astype(">u2").tobytes()
    colour.write_bytes(b"P6 256 8 65535\n" + samples)
    pixels = decode(root)
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= 1


def integers(file: Path) -> None:
    Image.fromarray(RAMP.astype(np.int32)).save(file, format="TIFF")


def floats(file: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32)).save(file, format="TIFF")


def white_is_zero(file: Path) -> None:
    Image.fromarray(RAMP).save(file, format="TIFF", tiffinfo={262: 0})


def tiff(file: Path, bits: int, kind: int) -> None:
    """8 × 8 grey values of ``bits``, black at 0; kind 1 is unsigned, 2 signed."""
    tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 273: 134, 277: 1, 278: 8, 279: 8 * bits}
    tags[339] = kind
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<IH", 8, len(tags))
    file.write_bytes(header + entries + bytes(4) + bytes(range(8 * bits)))


def twelve_bits(file: Path) -> None:
    tiff(file, 12, 1)  # Pillow gives them the mode of 16 bits


def signed(file: Path) -> None:
    tiff(file, 16, 2)


@pytest.mark.parametrize(
    ("write", "mode"),
    [
        *((integers, "I"), (floats, "F"), (signed, "I")),
        *((white_is_zero, "I;16"), (twelve_bits, "I;16")),
    ],
)
def test_values_without_a_fixed_range_are_refused(
    tmp_path: Path, write: Callable[[Path], None], mode: str
) -> None:
    root = folder(tmp_path)
    write(root / "images/d4.png")
    message = input_error(lambda: decode(root))
    assert message.startswith(
        f"{root}/database_img.txt:5: image {root}/images/d4.png: TIFF of mode {mode}, whose values"
    )
    assert "8 bits a channel" in message


def test_colours_below_full_transparency_are_kept(tmp_path: Path) -> None:
    root = folder(tmp_path)
    image = noise_image(8, 8).convert("RGBA")
    image.putalpha(0)
    image.save(root / "images/d0.png")
    assert np.array_equal(decode(root)[0], np.asarray(image)[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_taken(tmp_path: Path, form: str) -> None:
    root = folder(tmp_path)
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (200, 20, 40)]
    options = {"lossless": True} if form == "WEBP" else {}
    frames[0].save(
        root / "images/d0.png", format=form, save_all=True, append_images=frames[1:], **options
    )
    assert (decode(root)[0, 0] == 200).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(
    "size", [(1, 80_000_000), (MAX_SIDE + 1, 1), (8193, 8192), (10_000, 10_000), (60_000, 60_000)]
)
def test_too_many_pixels_are_refused_before_decoding(
    tmp_path: Path, size: tuple[int, int], resize: str, recwarn: pytest.WarningsRecorder
) -> None:
    root = folder(tmp_path)
    (root / "images/d2.png").write_bytes(png_header(*size))
    message = input_error(lambda: decode(root, resize=resize))
    assert message.startswith(f"{root}/database_img.txt:3: image {root}/images/d2.png: ")
    assert message.endswith(f"at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in all")
    assert f"{size[0]} × {size[1]} pixels" in message or size == (60_000, 60_000)
    assert not recwarn.list


def test_as_many_pixels_as_are_allowed_are_decoded(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/d2.png").write_bytes(png_header(8192, MAX_PIXELS // 8192))
    message = input_error(lambda: decode(root))  # of a file that ends after its header
    assert "images/d2.png: damaged: " in message


def test_a_strip_that_resizing_would_blow_up_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "images/d2.png").write_bytes(png_header(1, MAX_SIDE))
    message = input_error(lambda: decode(root, image_size=224, resize="crop"))
    assert "1 × 65535 pixels; too elongated for data.resize crop, which makes it" in message
    Image.new("L", (1, MAX_SIDE)).save(root / "images/d2.png")
    assert decode(root, image_size=224, resize="squash").shape == (25, 3, 224, 224)


def test_text_that_unpacks_to_more_than_its_share_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2**22, zip=True)
    Image.new("RGB", (8, 8)).save(root / "images/d2.png", pnginfo=text)
    assert "images/d2.png: damaged: " in input_error(lambda: decode(root))


def test_an_entry_is_current_while_a_sample_decodes_to_its_rows(tmp_path: Path) -> None:
    root = folder(tmp_path)
    pixels, lists = decode(root), read_lists(root)
    assert is_current(pixels, lists, "squash")
    assert not is_current(pixels[::-1], lists, "squash")
    wrong = pixels.copy()
    wrong[-1, 0, 0, 0] ^= 1
    assert not is_current(wrong, lists, "squash")
