"""Experiment files as nobody should write them: seeded changes of those that ship."""

import random
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.experiment.file import load_experiment
from tests.harness.tiny import TINY

SHIPPED = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
_ALL = "\x00\x07\x1b\x7f\x85\u202e\u2028\ufeff\ud800\U0001f600λé"
NUMBERS: list[Any] = [
    0, 1, -1, 2, 7, 64, 1000, 10**5, 10**5 + 1, 2**31, 2**40, 2**53, 2**53 + 1, 2**63, 2**64,
    10**30, 10**400, -(10**400), 0.0, -0.0, 0.5, 1.0, 1.5, 5e-324, 1e-18, 1e-9, 1e-4, 1e6, 1e16,
    1e308, -1e308, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
WORDS: list[Any] = [
    "", " ", "x", "auto", "none", "saat", "cgat", "tpee", "maistay", "8/255", "1/0", "1e400", "nan",
    "0x10", "010", "1:30", "yes", "null", "~", "~/x", "~nosuchuser/x", "/" + "x" * 300, "x" * 5000,
    "x/" * 3000, "a\nb", "../..", "2001-13-45", "{", "%", "!!bool x", "*a", "&a", *_ALL,
]  # fmt: skip
_KINDS: list[Any] = [None, True, False, [], {}, [1], [[1]], {"a": 1}, {"a": {"b": [1, {}]}}]
_TAGS = [
    "!!bool", "!!int", "!!float", "!!timestamp", "!!set", "!!binary", "!!omap", "!!null", "!!str",
    "!!python/object:os.system", "!", "!x", "!<tag:x>", "!!python/name:os.system",
]  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """A file's bytes and the pairs of ``--set`` that go with them."""

    content: bytes
    overrides: list[str]


def bases() -> list[dict[str, Any]]:
    """What is changed: the files that ship as they are written, and one with every key."""
    shipped = [yaml.safe_load(path.read_text()) for path in SHIPPED]
    return [*shipped, deepcopy(TINY), load_experiment(SHIPPED[0])[0].dump()]


def written(value: Any, flow: bool = False) -> str:
    """``value`` as YAML, by libyaml if it is there and the value has nothing that it refuses."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True}
    try:
        quick = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(value, Dumper=quick, default_flow_style=flow, **options))
    except UnicodeEncodeError:
        return str(yaml.safe_dump(value, default_flow_style=flow, **options))


def generate(draw: random.Random, base: dict[str, Any]) -> Generated:
    """A file with one change to three changes of its content, its text, or by ``--set``."""
    raw = deepcopy(base)
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 3))):
        draw.choice(_CHANGES)(draw, raw)
    text = written(raw)
    if draw.random() < 0.25:
        text = draw.choice(_TEXT_CHANGES)(draw, text)
    pairs = [_pair(draw, raw) for _ in range(draw.choice((0, 0, 0, 0, 1, 2)))]
    return Generated(text.encode("utf-8", "surrogatepass"), pairs)


def _value(draw: random.Random) -> Any:
    value = draw.choice(draw.choice((NUMBERS, NUMBERS, WORDS, _KINDS)))
    return deepcopy(value)


def _key(draw: random.Random, keys: list[str]) -> str:
    """A key, often one of those there are, sometimes spelt wrong or made up."""
    key = str(draw.choice(keys)) if keys else "x"
    if draw.random() < 0.7:
        return key
    at = draw.randrange(len(key) + 1)
    return draw.choice(
        (key[:at] + key[at + 1 :], key[:at] + draw.choice(_ALL) + key[at:], "x" * 999)
    )


def _section(draw: random.Random, raw: dict[str, Any]) -> dict[str, Any]:
    parts = [part for part in raw.values() if isinstance(part, dict)]
    return draw.choice([raw, *parts, *parts])


def _change_value(draw: random.Random, raw: dict[str, Any]) -> None:
    section = _section(draw, raw)
    section[_key(draw, list(section))] = _value(draw)


def _vary(draw: random.Random, raw: dict[str, Any]) -> None:
    """Another value of the kind that is there."""
    section = _section(draw, raw)
    numbers = [k for k, v in section.items() if type(v) in (int, float) and abs(v) < 1e9]
    if numbers:
        key = draw.choice(numbers)
        section[key] = draw.choice((section[key] * 2, section[key] + 1, section[key] * 0.5))


def _remove(draw: random.Random, raw: dict[str, Any]) -> None:
    section = _section(draw, raw)
    if section:
        del section[draw.choice(list(section))]


def _odd_key(draw: random.Random, raw: dict[Any, Any]) -> None:
    raw[draw.choice((1, 2**70, None, True, 1.5, "a.b", "", "defense.lambda"))] = _value(draw)


_SEARCHED = [
    "model.bits", "model.backbone", "model.hashing", "pretrain.lr", "pretrain.epochs",
    "defense.method", "defense.lambda", "defense.mu", "defense.eps", "defense.steps",
    "defense.step_size", "defense.epochs", "defense.weights", "data.seed", "x", "defense.",
]  # fmt: skip


def _dimension(draw: random.Random) -> Any:
    if draw.random() < 0.1:
        return _value(draw)
    pick: Callable[[], Any] = lambda: draw.choice([*NUMBERS, 16, 32, "saat", "none", "2/255"])  # noqa: E731
    kind = draw.choice(("choice", "float", "int"))
    values: Any = [pick() for _ in range(draw.choice((0, 1, 2, 2, 2, 3, 300)))]
    if draw.random() < 0.5:
        values = {"choice": [16, 32], "float": [1e-3, 0.5], "int": [1, 8]}[kind]
    found: dict[str, Any] = {kind: values}
    if draw.random() < 0.3:
        found["log"] = draw.choice((True, False, "yes"))
    if draw.random() < 0.3:
        found["step"] = draw.choice([*NUMBERS, 0.01, 2])
    if draw.random() < 0.2:
        found["when"] = {draw.choice(_SEARCHED): _value(draw)}
    return found


def _change_space(draw: random.Random, raw: dict[str, Any]) -> None:
    space = raw.get("space")
    space = space if isinstance(space, dict) else {}
    for _ in range(draw.choice((1, 1, 2, 4))):
        space[draw.choice(_SEARCHED)] = _dimension(draw)
    raw["space"] = space


def _change_compared(draw: random.Random, raw: dict[str, Any]) -> None:
    compared = raw.setdefault("compare", {})
    if isinstance(compared, dict):
        point = {draw.choice(_SEARCHED): _value(draw) for _ in range(draw.choice((0, 1, 2)))}
        compared[draw.choice((*WORDS, "a", "sampled", "λ"))] = point


def _change_options(draw: random.Random, raw: dict[str, Any]) -> None:
    part = raw.setdefault("evaluation", {})
    if isinstance(part, dict):
        names = ["mainstay", "hag", "tha", "vmi", "pgd"]
        keys = ["steps", "step_size", "restarts", "decay", "neighbours", "x"]
        part["options"] = {draw.choice(names): {draw.choice(keys): _value(draw)}}


def _change_stop(draw: random.Random, raw: dict[str, Any]) -> None:
    part = raw.setdefault("search", {})
    if isinstance(part, dict):
        key = draw.choice(("time", "cost", "stagnation", "tim"))
        part["stop"] = {key: draw.choice((_value(draw), {"trials": _value(draw)}, "1h", "1e300d"))}


_CHANGES: list[Callable[[random.Random, dict[str, Any]], None]] = [
    _change_value, _change_value, _vary, _vary, _vary, _remove, _odd_key, _change_space,
    _change_space, _change_compared, _change_options, _change_stop,
]  # fmt: skip


def _tagged(draw: random.Random, text: str) -> str:
    places = [match.end() for match in re.finditer(r": |- ", text)] or [0]
    at = draw.choice(places)
    return f"{text[:at]}{draw.choice(_TAGS)} {text[at:]}"


def _aliased(draw: random.Random, text: str) -> str:
    width, depth = draw.choice(((2, 3), (9, 9), (1, 60), (40, 3)))
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join(["a0: &a0 [x]", *lines, draw.choice(("", "b: &b [*b]", "c: {<<: *a0}")), text])


def _nested(draw: random.Random, text: str) -> str:
    depth = draw.choice((5, 50, 5000))
    opening, closing = draw.choice((("[", "]"), ("{a: ", "}"), ("- ", "")))
    return f"{text}\nx: {opening * depth}{closing * draw.choice((0, depth))}"


def _broken(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    inserted: str = draw.choice(
        (*_ALL, "\t", "\n", ": ", "[", "{", "'", '"', "#", "|", "%YAML 9.9\n", "")
    )
    return text[:at] + inserted + text[draw.choice((at, at + 1, len(text))) :]


def _large(draw: random.Random, text: str) -> str:
    much = ("# " + "x" * 300_000, "y: [" + "1, " * 20_000 + "]", "seed: " + "9" * 6000)
    return text + "\n" + draw.choice(much)


def _twice(draw: random.Random, text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines, draw.choice(lines)])


_TEXT_CHANGES: list[Callable[[random.Random, str], str]] = [
    _tagged, _tagged, _aliased, _nested, _broken, _broken, _broken, _large, _twice,
]  # fmt: skip


def _pair(draw: random.Random, raw: dict[str, Any]) -> str:
    """An override: a key that there is or not, and a value as one would type it."""
    sections = [str(key) for key, part in raw.items() if isinstance(part, dict)]
    section = draw.choice([*sections, "", "space", "x"])
    part = raw.get(section)
    name = _key(draw, [str(key) for key in part] if isinstance(part, dict) else list(map(str, raw)))
    key = f"{section}.{name}" if section else name
    value = draw.choice((str(_value(draw)), written(_dimension(draw), flow=True)))
    tag = draw.choice(("", "", "", draw.choice(_TAGS) + " "))
    return draw.choice(
        (f"{key}={tag}{value}", f"{key}={tag}{value}", key, f"={value}", "defense.method=none")
    )
