"""What the command line says about an entry besides its run."""

import math
from dataclasses import dataclass

from harness.experiment.section import parsed
from harness.leaderboard.entry import Claimed, Reference
from saat.errors import InputError, did_you_mean, one_line

# Names under which --claimed takes the numbers of a paper → keys of an entry.
CLAIMS = {"map": "clean_map", "robust": "robust_map"}


@dataclass(frozen=True)
class Request:
    """What the command line says besides the run."""

    setting: str | None = None
    claimed: Claimed | None = None
    reference: Reference | None = None  # in the place of this package's own
    protocol: str | None = None  # of the board that the entries are for


def parse_claimed(text: str) -> Claimed:
    """The numbers of ``map=0.7,robust=0.4``, fractions; one of the two is enough.

    Raises:
        InputError: another name, one that is given twice, or no fraction.
    """
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        key = CLAIMS.get(name.strip())
        if key is None or key in values:
            raise InputError(
                f"--claimed {one_line(part, 60) or repr(part)}: each of map=FRACTION and "
                "robust=FRACTION once, with a comma between them"
                + ("" if key else did_you_mean(name.strip(), CLAIMS))
            )
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise InputError(
                f"--claimed {one_line(part, 60)}: a fraction from 0 to 1, such as 0.71 for 71 %"
            )
        values[key] = value
    return Claimed(**values)


def parse_reference(paper: str, year: int | None, link: str | None) -> Reference:
    """The paper that the command line names; raises InputError with what an entry may have."""
    return parsed(Reference, {"paper": paper, "year": year, "link": link}, "reference")
