"""What follows from a table, counted in ours and in the paper's numbers."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from reports.paper.cells import NO_ATTACK, TARGETED
from reports.paper.entries import Entry
from saat.wording import counted

_OWN = ("mainstay", "mainstay_targeted")
Groups = list[list[Entry]]
_Number = Callable[[Entry], float]
_NUMBERS: dict[str, _Number] = {
    "here": lambda entry: np.nan if entry.ours.collapsed else entry.ours.number,
    "in the paper": lambda entry: entry.paper,
}


def findings(found: Sequence[Entry]) -> list[str]:
    """Sentences on the strongest attack, and on SAAT beside ATRDH; empty for other tables.

    A model of ours whose clean MAP is not above chance counts for nothing: what retrieves nothing
    loses nothing under attack.
    """
    sentences = []
    for own, kind in zip(_OWN, ("untargeted", "targeted"), strict=True):
        if groups := list(_attacked(found, own)):
            what = f"The {own} attack is the strongest {kind} one"
            sentences.append(_sentence(what, groups, _own_is_strongest))
    pairs = list(_defended(found))
    if pairs:
        what = "SAAT leaves attacks less than ATRDH"
        sentences.append(_sentence(what, pairs, _second_is_better))
    if sentences and any(entry.ours.collapsed for entry in found):
        sentences.append("Models of ours whose clean MAP is not above chance are not counted.")
    return sentences


def _sentence(what: str, groups: Groups, holds: Callable[[list[Entry], _Number], bool]) -> str:
    """``what`` in 3 of 4 cases here, and in 4 of 4 in the paper."""
    parts = []
    for where, number in _NUMBERS.items():
        whole = [g for g in groups if not any(np.isnan(number(entry)) for entry in g)]
        count = sum(holds(group, number) for group in whole)
        parts.append(f"in {count} of {counted(len(whole), 'case')} {where}")
    return f"{what} {', '.join(parts)}."


def _sign(entry: Entry) -> float:
    """1 where more is better for whoever is attacked."""
    return -1.0 if entry.cell.attack in TARGETED else 1.0


def _own_is_strongest(group: list[Entry], number: _Number) -> bool:
    return min(group, key=lambda entry: _sign(entry) * number(entry)).cell.attack in _OWN


def _second_is_better(pair: list[Entry], number: _Number) -> bool:
    first, second = (_sign(entry) * number(entry) for entry in pair)
    return second > first


def _attacked(found: Sequence[Entry], own: str) -> Iterator[list[Entry]]:
    """Attacks of one kind on one model by one measure, two or more, ``own`` among them."""
    groups: dict[object, list[Entry]] = defaultdict(list)
    for entry in found:
        attack, is_targeted = entry.cell.attack, entry.cell.attack in TARGETED
        usual = entry.cell.is_percent and "iterations" not in entry.row
        if attack != NO_ATTACK and is_targeted == (own in TARGETED) and usual:
            groups[entry.cell.setting, entry.cell.measure].append(entry)
    for group in groups.values():
        if len(group) > 1 and own in {entry.cell.attack for entry in group}:
            yield group


def _defended(found: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The same attack on ATRDH and on SAAT."""
    by_place = {
        (e.cell.attack, e.cell.setting.defense, tuple(e.column.items())): e
        for e in found
        if e.cell.attack != NO_ATTACK
    }
    for (attack, defense, column), entry in by_place.items():
        other = by_place.get((attack, "saat", column))
        if defense == "atrdh" and other is not None:
            yield [entry, other]
