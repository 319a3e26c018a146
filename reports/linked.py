"""What figures and tables of a page call the same setting, so that the page can link them."""

from collections.abc import Iterable
from hashlib import blake2s


def setting_key(search: str, config_hash: object) -> str:
    """A short name of a setting of a search; equal wherever the page shows the setting."""
    return blake2s(f"{search}/{config_hash}".encode(), digest_size=5).hexdigest()


def setting_keys(search: str, config_hashes: Iterable[object]) -> list[str]:
    """`setting_key` of each trial of a search."""
    return [setting_key(search, found) for found in config_hashes]
