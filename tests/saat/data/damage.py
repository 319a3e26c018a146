"""Ways in which a folder of lists and images can be damaged, each drawn from a generator."""

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image, PngImagePlugin

from .samples import noise_image

Damage = Callable[[Path, np.random.Generator], None]
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels: whoever decodes it fails otherwise."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def an_image(root: Path, rng: np.random.Generator) -> Path:
    """The file of one of the listed images."""
    return root / "images" / f"{rng.choice(['d', 't'])}{rng.integers(5)}.png"


def a_list(root: Path, rng: np.random.Generator, kind: str = "*") -> Path:
    """One of the list files; of the reference layout also of a kind, ``img`` or ``label``."""
    files = sorted(root.glob(f"*_{kind}.txt")) or sorted(root.glob("*.txt"))
    return files[int(rng.integers(len(files)))]


def a_picture(root: Path, rng: np.random.Generator) -> Path:
    """An image written anew, in any format."""
    file = an_image(root, rng)
    noise_image(24, 20, int(rng.integers(99))).save(file, format=str(rng.choice(FORMATS)))
    return file


def with_line(file: Path, rng: np.random.Generator, change: Callable[[str], str]) -> None:
    """Change one line of a list."""
    lines = file.read_text().splitlines()
    row = int(rng.integers(len(lines)))
    lines[row] = change(lines[row])
    file.write_text("".join(f"{line}\n" for line in lines))


# Images


def truncated(root: Path, rng: np.random.Generator) -> None:
    file = a_picture(root, rng)
    os.truncate(file, int(rng.integers(1, file.stat().st_size)))


def flipped_bytes(root: Path, rng: np.random.Generator) -> None:
    file = a_picture(root, rng)
    content = np.frombuffer(file.read_bytes(), dtype=np.uint8).copy()
    content[rng.integers(0, len(content), 12)] = rng.integers(0, 256, 12)
    file.write_bytes(content.tobytes())


def random_bytes(root: Path, rng: np.random.Generator) -> None:
    start = rng.choice([b"", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"P6\n"])
    an_image(root, rng).write_bytes(bytes(start) + rng.bytes(int(rng.integers(200))))


def text_for_an_image(root: Path, rng: np.random.Generator) -> None:
    an_image(root, rng).write_text("<html>404</html>" if rng.integers(2) else "")


def a_huge_size(root: Path, rng: np.random.Generator) -> None:
    sizes = [(2**31 - 1, 2**31 - 1), (1, 80_000_000), (70_000, 2), (20_000, 20_000)]
    an_image(root, rng).write_bytes(png_header(*sizes[int(rng.integers(len(sizes)))]))


def a_packed_comment(root: Path, rng: np.random.Generator) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2**22, zip=True)
    Image.new("RGB", (8, 8)).save(an_image(root, rng), pnginfo=text)


def floats(root: Path, rng: np.random.Generator) -> None:
    values = (255 * rng.random((8, 8))).astype(np.float32 if rng.integers(2) else np.int32)
    Image.fromarray(values).save(an_image(root, rng), format="TIFF")


def several_frames(root: Path, rng: np.random.Generator) -> None:
    frames = [noise_image(8, 8, seed) for seed in range(3)]
    form = str(rng.choice(["GIF", "TIFF", "WEBP"]))
    frames[0].save(an_image(root, rng), format=form, save_all=True, append_images=frames[1:])


def no_image(root: Path, rng: np.random.Generator) -> None:
    an_image(root, rng).unlink()


def a_folder_for_an_image(root: Path, rng: np.random.Generator) -> None:
    file = an_image(root, rng)
    file.unlink()
    file.mkdir()


def a_pipe_for_an_image(root: Path, rng: np.random.Generator) -> None:
    file = an_image(root, rng)
    file.unlink()
    os.mkfifo(file)


def links_in_a_circle(root: Path, rng: np.random.Generator) -> None:
    file = (an_image if rng.integers(2) else a_list)(root, rng)
    file.unlink()
    file.symlink_to("circle")
    (file.parent / "circle").symlink_to(file.name)


def a_link_outside(root: Path, rng: np.random.Generator) -> None:
    file = an_image(root, rng)
    file.rename(root.parent / file.name)
    file.symlink_to(root.parent / file.name)


def unreadable(root: Path, rng: np.random.Generator) -> None:
    (an_image if rng.integers(2) else a_list)(root, rng).chmod(0)


# Lists


def no_list(root: Path, rng: np.random.Generator) -> None:
    a_list(root, rng).unlink()


def a_folder_for_a_list(root: Path, rng: np.random.Generator) -> None:
    file = a_list(root, rng)
    file.unlink()
    file.mkdir()


def a_line_too_few(root: Path, rng: np.random.Generator) -> None:
    file = a_list(root, rng)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))


def another_encoding(root: Path, rng: np.random.Generator) -> None:
    file = a_list(root, rng)
    name = str(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500"]))
    file.write_bytes(file.read_text().encode(name))


def other_line_ends(root: Path, rng: np.random.Generator) -> None:
    file = a_list(root, rng)
    end = bytes(rng.choice([b"\r", b"\r\n", b"\n\r", b"\n\n", b"\0"]))
    file.write_bytes(file.read_bytes().replace(b"\n", end))


def bytes_for_a_list(root: Path, rng: np.random.Generator) -> None:
    a_list(root, rng).write_bytes(rng.bytes(int(rng.integers(300))))


def an_odd_label(root: Path, rng: np.random.Generator) -> None:
    odd = ("x", "-1", "2", "1.0", "1e9", "9" * 400, "nan", "٣", "0x1", "True", "1,0")
    word = str(rng.choice(odd))
    with_line(a_list(root, rng, "label"), rng, lambda line: f"{line[:-1]}{word}")


def another_width(root: Path, rng: np.random.Generator) -> None:
    wider = bool(rng.integers(2))
    with_line(a_list(root, rng, "label"), rng, lambda line: line + " 1" if wider else line[:-2])


def an_empty_line(root: Path, rng: np.random.Generator) -> None:
    with_line(a_list(root, rng), rng, lambda line: rng.choice(["", "  \t"]))


def class_indices(root: Path, rng: np.random.Generator) -> None:
    for file in sorted(root.glob("*_label.txt")) or sorted(root.glob("*.txt")):
        lines = file.read_text().splitlines()
        heads = [line.rsplit(None, 3)[0] + " " if "png" in line else "" for line in lines]
        file.write_text("".join(f"{head}{rng.integers(2)}\n" for head in heads))


def an_odd_path(root: Path, rng: np.random.Generator) -> None:
    paths = ("/etc/passwd", "../d0.png", "images", ".", "x" * 300, "images/d0.png/x", "a\0b")
    path = str(rng.choice(paths))
    with_line(a_list(root, rng, "img"), rng, lambda line: f"{path} {line.partition(' ')[2]}")


def queries_in_the_database(root: Path, rng: np.random.Generator) -> None:
    files = sorted(root.glob("database*.txt"))
    for file in files:
        own = file.with_name(file.name.replace("database", "test"))
        file.write_text(file.read_text() + own.read_text())


# Whether a folder with such damage must be refused, whatever is drawn.
DAMAGES: Mapping[Damage, bool] = {
    truncated: False,  # a GIF or a progressive JPEG may be whole before its end
    flipped_bytes: False,
    random_bytes: True,
    text_for_an_image: True,
    a_huge_size: True,
    a_packed_comment: True,
    floats: True,
    several_frames: False,
    no_image: True,
    a_folder_for_an_image: True,
    a_pipe_for_an_image: True,
    links_in_a_circle: True,
    a_link_outside: True,
    unreadable: False,  # root reads everything
    no_list: True,
    a_folder_for_a_list: True,
    a_line_too_few: False,  # in the one-file layout it is a shorter list
    another_encoding: False,  # a byte order mark of UTF-8 is fine
    other_line_ends: False,
    bytes_for_a_list: True,
    an_odd_label: True,
    another_width: True,
    an_empty_line: False,  # at the end of a list in the one-file layout
    class_indices: True,
    an_odd_path: True,
    queries_in_the_database: True,
}
