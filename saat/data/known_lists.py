"""Content hashes of published lists, by the label they give a data set.

``prosgan``: the lists of the repository ``xunguangwang/ProS-GAN`` (folder ``data``), which the
SAAT and CgAT papers follow. Its database lists of NUS-WIDE and MS-COCO are not public, so of
these two sets only train and test are recognised, and the database list is not verified.
"""

from collections.abc import Mapping

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
