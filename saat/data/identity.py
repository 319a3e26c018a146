"""Identify the splits of a data set: hashes of its lists, and the label in results.

Papers use different splits under one data set's name, so a name alone identifies nothing. The
*content hash* of a split is the SHA-256 of its list in the one-file layout: one line
``path 0 1 0 …`` per image, in order, with the path normalised, one space between words, and a line
feed after every line. Line ends, trailing spaces and the layout do not matter. This command
computes it without the library::

    paste -d' ' train_img.txt train_label.txt | sed 's/ *$//' | sha256sum
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

# Content hashes of published lists, by the label of their data set. prosgan is the folder data of
# github.com/xunguangwang/ProS-GAN, which the SAAT and CgAT papers follow. Its database lists of
# NUS-WIDE and MS-COCO are not public, so of these two sets only train and test are recognised.
KNOWN_LISTS: Mapping[str, Mapping[str, str]] = {
    "flickr25k/prosgan": {
        "train": "69ac137d6ebf6b8b7f4355ef5e0bc67476f48bcd8680b8f1899b0cb09287c14b",
        "test": "29c913b785ed8ed5a60332716c2f11578b32135a258eca2578d3872b25fcfe36",
        "database": "0d71f74388947850808446a440b56adebb1f8229580c3291718c2a429d78e8cd",
    },
    "nuswide/prosgan": {
        "train": "b65a251ae14e643475d2ae8ea66cae9e54d11f11564ba9f5f0aa8ec05dadcc60",
        "test": "b84c6175791fc6e3162be511881cd613f86f8dd011e11c3d69b31ee7a254ecb9",
    },
    "mscoco/prosgan": {
        "train": "6af6fd881ef74177a40446fb3548ee71aebba02a3a1cbc3c365a7a2bccfe952d",
        "test": "88e5fdb2cafb88cc7bf89391969f0e6dc5067b735db8eb3ef4c9808d02593e47",
    },
}


def content_sha256(paths: Sequence[str], labels: np.ndarray) -> str:
    """Content hash (hex) of a split: n normalised paths, uint8 labels (n, C) of 0 and 1."""
    words = np.full((len(paths), 2 * labels.shape[1]), ord(" "), dtype=np.uint8)
    words[:, 1::2] = labels + ord("0")
    digest = hashlib.sha256()
    for path, row in zip(paths, words, strict=True):
        digest.update(path.encode() + row.tobytes() + b"\n")
    return digest.hexdigest()


def set_label(name: str, content: Mapping[str, str]) -> str:
    """The label of a set of lists: ``flickr25k/prosgan``, ``voc2007/custom-1a2b3c4d``.

    Published lists (:data:`KNOWN_LISTS`) are recognised by their content, in any folder. A split
    whose published list is unknown is added with the first 8 digits of its hash
    (``nuswide/prosgan-database-1a2b3c4d``), so that equal labels mean equal lists. ``content`` is
    the content hash per split; ``name`` is the part before the slash for unknown lists.
    """
    for label, known in KNOWN_LISTS.items():
        if all(content[split] == sha256 for split, sha256 in known.items()):
            unknown = (split for split in sorted(content) if split not in known)
            return "".join([label, *(f"-{split}-{content[split][:8]}" for split in unknown)])
    together = "".join(f"{split} {content[split]}\n" for split in sorted(content))
    return f"{name}/custom-{hashlib.sha256(together.encode()).hexdigest()[:8]}"
