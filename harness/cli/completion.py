"""What the shell completes: runs, settings, attacks, roles, and the words that an option takes.

These functions neither print nor fail: what cannot be known completes to nothing. The modules that
know the words are imported in them, because every command imports this one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import typer

from harness.options import RUNS
from saat.errors import InputError

if TYPE_CHECKING:  # pydantic, which most commands start without
    from pydantic import BaseModel

Complete = Callable[[typer.Context], list[str]]


def words(*given: str) -> Complete:
    """An option that takes one of a few words."""
    return lambda ctx: list(given)


def run_names(ctx: typer.Context) -> list[str]:
    """Names of the runs in the folder of all runs."""
    return known_runs(_runs_dir(ctx))


def known_runs(runs_dir: Path) -> list[str]:
    """Names of the runs in a folder."""
    return sorted(path.parent.name for path in runs_dir.glob("*/experiment.yaml"))


def catalogued(registry: str) -> Complete:
    """An option that takes entries of a registry."""

    def names(ctx: typer.Context) -> list[str]:
        from harness.catalogue import catalogue

        return list(getattr(catalogue(), registry))

    return names


def stored_attacks(ctx: typer.Context) -> list[str]:
    """Untargeted attacks whose images the named run has."""
    from reports.trial_arrays import attacks_with_images

    found: list[str] = []
    for file in (file for run in _runs(ctx) for file in run.glob("trials/*/adversarial.npz")):
        with suppress(InputError):
            found += attacks_with_images(file)
    return sorted(set(found))


def roles(ctx: typer.Context) -> list[str]:
    """Roles of the tested settings of the named run."""
    from harness.journal.state import load_state

    found: list[str] = []
    for run in _runs(ctx):
        with suppress(InputError):
            tested = load_state(run)[1].of_phase("confirm", "train")
            found += [record.spec.role for record in tested]
    return sorted(set(found))


def searched_keys(ctx: typer.Context) -> list[str]:
    """Keys that the named runs search and that ``saat report --by`` takes."""
    from harness.experiment.file import load_stored
    from harness.experiment.strata import keys_of_few_values

    found: list[str] = []
    for run in _runs(ctx):
        with suppress(InputError):
            found += keys_of_few_values(load_stored(run / "experiment.yaml")[0].space)
    return sorted(set(found))


def paper_items(ctx: typer.Context) -> list[str]:
    """Tables and figures of the paper."""
    from reports.paper.declared import items

    return [*items(), "all"]


def paper_datasets(ctx: typer.Context) -> list[str]:
    """Data sets that the tables of the paper can be made on, at the scale that is given."""
    from reports.paper.declared import datasets_of

    with suppress(InputError):
        return datasets_of(_given(ctx).get("scale") or "small")
    return []


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """``KEY=`` for every key of an experiment file; after the sign, the words that it takes."""
    raw = _content(ctx)
    key, sign, _ = incomplete.partition("=")
    known = dict(_keys(raw))
    if sign:
        return [f"{key}={word}" for word in known.get(key, ())]
    return [f"{name}=" for name in known]


def _content(ctx: typer.Context) -> dict[Any, Any]:
    """The content of the experiment file that the command names, with the method given before."""
    from harness.experiment.yaml_file import read_yaml

    raw: dict[Any, Any] = {}
    given = _given(ctx)
    files = given.get("files") or [given.get("experiment")]
    for file in filter(None, files):
        with suppress(InputError, OSError):
            raw = read_yaml(Path(str(file)), "an experiment")
    for pair in given.get("set_") or ():
        if pair.startswith("defense.method="):
            raw["defense"] = {"method": pair.partition("=")[2]}
    return raw


def _keys(raw: dict[Any, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """Dotted keys of an experiment with such a content, and the words that they can be."""
    from harness.experiment.config import METHODS, Experiment
    from harness.experiment.file import method_of
    from harness.experiment.section import Section
    from harness.experiment.sections import defense_model, usable_datasets

    defense = defense_model(method_of(raw))
    named = {"data.name": tuple(usable_datasets()), "defense.method": METHODS}
    for name, field in Experiment.model_fields.items():
        model = defense if name == "defense" else field.annotation
        if name == "space":
            yield from ((f"space.{key}", ()) for key in raw.get("space") or ())
        elif isinstance(model, type) and issubclass(model, Section):
            yield from ((key, named.get(key, found)) for key, found in _section_keys(name, model))
        else:
            yield name, _words_of(model)


def _section_keys(before: str, model: "type[BaseModel]") -> Iterator[tuple[str, Sequence[str]]]:
    from harness.experiment.section import Section

    for name, field in model.model_fields.items():
        key, kind = f"{before}.{field.alias or name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _section_keys(key, kind)
        else:
            yield key, _words_of(kind)


def _words_of(kind: Any) -> Sequence[str]:
    """The texts that a value of a type can be, where it can be a few."""
    if kind is bool:
        return "true", "false"
    if get_origin(kind) is Literal:
        return tuple(word for word in get_args(kind) if isinstance(word, str))
    if get_origin(kind) in (Union, UnionType) or hasattr(kind, "__metadata__"):
        members = get_args(kind)[:1] if hasattr(kind, "__metadata__") else get_args(kind)
        return tuple(word for member in members for word in _words_of(member))
    return ()


def _given(ctx: typer.Context) -> dict[str, Any]:
    """Values before the cursor. In ``ctx`` they are lost where the last option has no value yet."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    cursor = int(os.environ["COMP_CWORD"]) if "COMP_CWORD" in os.environ else -1
    before = words.split(" ")[len(ctx.command_path.split()) : cursor]
    if not before or not before[-1].startswith("-"):
        return ctx.params
    parsed = ctx.command.make_context(
        ctx.info_name, before[:-1], parent=ctx.parent, resilient_parsing=True
    )
    return parsed.params


def _runs_dir(ctx: typer.Context) -> Path:
    return Path(_given(ctx).get("runs_dir") or RUNS)


def _runs(ctx: typer.Context) -> list[Path]:
    """Folders of the runs that the command names so far."""
    given = _given(ctx)
    names = given.get("names") or [given.get("name")]
    return [_runs_dir(ctx) / str(name) for name in names if name]
