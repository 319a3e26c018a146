"""Which split a data set is: hashes of what its lists say, and the label that results carry.

Papers use different splits under one data set's name, so a name alone identifies nothing. The
*content hash* of a split is the SHA-256 of its list in the one-file layout: one line
``path 0 1 0 …`` per image, in order, the path normalised, one space between words, and a line
feed after every line. It sees neither line ends nor trailing spaces nor the layout, and can be had
without this library::

    paste -d' ' train_img.txt train_label.txt | sed 's/ *$//' | sha256sum
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from saat.data.known_lists import KNOWN_LISTS


def content_sha256(paths: Sequence[str], labels: np.ndarray) -> str:
    """Content hash (hex) of a split.

    Args:
        paths: n normalised paths.
        labels: uint8 (n, C) of 0 and 1.
    """
    words = np.full((len(paths), 2 * labels.shape[1]), ord(" "), dtype=np.uint8)
    words[:, 1::2] = labels + ord("0")
    digest = hashlib.sha256()
    for path, row in zip(paths, words, strict=True):
        digest.update(path.encode() + row.tobytes() + b"\n")
    return digest.hexdigest()


def set_label(name: str, content: Mapping[str, str]) -> str:
    """The label of a set of lists: ``flickr25k/prosgan``, ``voc2007/custom-1a2b3c4d``.

    Published lists (:data:`saat.data.known_lists.KNOWN_LISTS`) are recognised by what they say,
    wherever they lie. A split whose published list is unknown is added with the first 8 digits
    of its hash (``nuswide/prosgan-database-1a2b3c4d``), so that equal labels mean equal lists.

    Args:
        name: What unknown lists are called before the slash.
        content: Content hash per split.
    """
    for label, known in KNOWN_LISTS.items():
        if all(content[split] == sha256 for split, sha256 in known.items()):
            unknown = (split for split in sorted(content) if split not in known)
            return "".join([label, *(f"-{split}-{content[split][:8]}" for split in unknown)])
    together = "".join(f"{split} {content[split]}\n" for split in sorted(content))
    return f"{name}/custom-{hashlib.sha256(together.encode()).hexdigest()[:8]}"
