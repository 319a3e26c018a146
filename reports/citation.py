"""How to repeat a run and how to cite it; every fact is from the stored files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from reports.results import SearchResults
from reports.wording import MISSING

_PAPER = """@article{yuan2023saat,
  title   = {Semantic-Aware Adversarial Training for Reliable Deep Hashing Retrieval},
  author  = {Yuan, Xu and Zhang, Zheng and Wang, Xunguang and Wu, Lin},
  journal = {IEEE Transactions on Information Forensics and Security},
  volume  = {18},
  pages   = {4681--4694},
  year    = {2023},
  doi     = {10.1109/TIFS.2023.3297791}
}"""


def origin_terms(results: SearchResults) -> list[tuple[str, str]]:
    """When, where, with which code and on which data a run was made, as pairs of term and text."""
    found = results.provenance
    machine, data = (_mapping(found.get(name)) for name in ("machine", "data"))
    hardware = [machine.get("gpu") or machine.get("device"), machine.get("platform")]
    versions = _mapping(found.get("versions"))
    return [
        ("Date", _dates(results.trials["finished_at"])),
        ("Hardware", ", ".join(str(part) for part in hardware if part) or MISSING),
        ("Commit", str(found.get("git_revision") or MISSING)),
        ("Versions", ", ".join(f"{name} {text}" for name, text in versions.items()) or MISSING),
        ("Data fingerprint", str(data.get("fingerprint") or MISSING)),
        ("Protocol hash", ", ".join(sorted(results.protocol_hashes)) or MISSING),
        ("Same search again", f"saat search {results.path.name}/experiment.yaml --name NEW_NAME"),
        ("Same report again", f"saat report {results.path.name}"),
    ]


def bibtex(results: SearchResults) -> str:
    """Entries for the paper and for this software at the version that made the run."""
    versions = _mapping(results.provenance.get("versions"))
    commit = results.provenance.get("git_revision")
    fields = {
        "title": "saat-harness: hyperparameter search for adversarially robust deep hashing",
        "author": "{The saat-harness authors}",
        "version": versions.get("saat-harness"),
        "note": f"commit {commit}" if commit else None,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return _PAPER + "\n\n@software{saat_harness,\n" + ",\n".join(lines) + "\n}"


def _dates(finished: pd.Series) -> str:
    """The first and the last day, in UTC, on which a trial of the run ended."""
    known = finished.dropna()
    if not len(known):
        return MISSING
    days = [f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d}" for t in (known.min(), known.max())]
    return " to ".join(dict.fromkeys(days))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
