"""Write numbers and settings for pages: percent, k/255, Greek letters."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

MISSING = "–"
ROLES = {
    "default": "paper's default",
    "recommended": "recommended",
    "undefended": "undefended",
    "sampled": "sampled",
    "train": "trained",
}
# saat.stopwatch.Stage → what it is called on pages.
STAGES = {
    "decode": "opening and decoding data",
    "waiting_for_model": "waiting for a pretrained model",
    "waiting_for_data": "waiting for data",
    "pretraining": "pretraining",
    "inner_pgd": "inner PGD",
    "outer_step": "outer step",
    "encode": "encoding",
    "validation": "validation",
    "reattack": "re-attack",
    "battery": "battery",
    "checkpoint": "checkpoints",
    "files": "model and files",
}
# Other parameters keep their whole key: pretrain.epochs is not defense.epochs.
_SYMBOLS = {
    "defense.lambda": "λ",
    "defense.mu": "μ",
    "defense.eps": "ε",
    "defense.steps": "T",
    "model.bits": "bits",
}
_MEANINGS = {
    "λ": "weight of the loss on attacked images",
    "μ": "weight of its quantisation term",
    "ε": "how far training changes a pixel at most",
    "T": "steps of the attack in training",
}
# Beginning or end of an attack's name in a table → what it means. "…" is the rest of the name.
_ATTACK_NOTES = {
    ".leaky": "….leaky: the attack … again, through rectifiers that pass gradients on where they "
    "are off; it is run if many input gradients of a network are zero",
    ".bpda": "….bpda: the attack … through the differentiable stand-in that the network offers",
    ".battery": "….battery: the attack … with the battery's own number of steps",
    "apgd_": "apgd_…: APGD (adaptive step sizes) on the loss …",
    "transfer.": "transfer.…: images that were made on the model …",
    "square": "square: the Square attack, a black box without gradients",
    "noise": "noise: random noise, a control",
    "worst": "worst: per query and seed the lowest of clean and all attacks of that seed",
}
PROBE_ENDS = "a probe, which ends"  # begins the stop reason of a trial that teaches the sampler
_PIXEL_PARAMETERS = ("eps", "step_size")


def norm_note(norm: str) -> list[str]:
    """A sentence on the numbers that are not in ``evaluation.norm``; empty if all are."""
    if norm == "linf":
        return []
    return [
        f"evaluation.norm: {norm}: re-attacks and tests are in {norm.upper()}; training "
        "(defense.eps) and the attack after every epoch (validation.eps) stay in L∞"
    ]


def percent(fraction: float, digits: int = 1) -> str:
    """Write ``0.4213`` as ``42.1 %``, and a missing value as a dash."""
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.{digits}f} %"


def points(difference: float) -> str:
    """Write a difference of fractions as signed percentage points, without the unit."""
    return MISSING if math.isnan(difference) else f"{100 * difference:+.1f}".replace("-", "−")


def attack_notes(names: Iterable[str]) -> str:
    """Explain the names of a table's attacks that are not just the name of a method."""
    listed = list(names)
    return ". ".join(
        note
        for part, note in _ATTACK_NOTES.items()
        if any(name.startswith(part) or name.endswith(part) for name in listed)
    )


def sentences(*parts: str) -> str:
    """Append sentences to a caption without a full stop; empty parts are left out."""
    return "".join(f". {part}" for part in parts if part)


def capital(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """Write seconds in a suitable unit."""
    if math.isnan(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def is_probe(stop_reason: object) -> bool:
    """Whether a trial with this stop reason was a probe, which ends early whatever it reaches."""
    return str(stop_reason).startswith(PROBE_ENDS)


def is_pixel_parameter(key: str) -> bool:
    """Whether the parameter is a distance in [0, 1], which papers write as k/255."""
    return key.rsplit(".", 1)[-1] in _PIXEL_PARAMETERS


def parameter_symbol(key: str) -> str:
    """Write ``defense.lambda`` as ``λ``, ``model.bits`` as ``bits``."""
    return _SYMBOLS.get(key, key)


def symbol_meanings(settings: Iterable[str]) -> list[str]:
    """What the symbols in described settings stand for: ``λ: weight of …``."""
    texts = list(settings)
    return [
        f"{symbol}: {meaning}"
        for symbol, meaning in _MEANINGS.items()
        if any(f"{symbol}=" in text for text in texts)
    ]


def parameter_value(key: str, value: Any) -> str:
    """Write a value as papers do: ε as k/255, other numbers with three digits."""
    if value is None or value != value or str(value) == "<NA>":
        return MISSING
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if is_pixel_parameter(key):
        return f"{float(value) * 255:.3g}/255"
    return f"{float(value):.3g}"


def describe_setting(row: Mapping[Any, Any], keys: Iterable[str]) -> str:
    """Write the searched parameters of a trial, such as ``λ=2.31, μ=0.0001, ε=8/255``."""
    values = {key: parameter_value(key, row.get(f"param.{key}")) for key in keys}
    return ", ".join(
        f"{parameter_symbol(key)}={value}" for key, value in values.items() if value != MISSING
    )


def letter_at(index: int) -> str:
    """A … Z, then A2 … Z2, of the setting at this place of the order."""
    turn, place = divmod(index, 26)
    return chr(ord("A") + place) + (str(turn + 1) if turn else "")
