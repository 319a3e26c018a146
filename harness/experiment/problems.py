"""What is wrong with an experiment file, one line per fault, with hints at the keys there are."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.experiment.validation_errors import describe_faults


def describe(
    error: ValidationError, model: type[BaseModel], raw: Any, section: str = ""
) -> list[str]:
    """Every problem of a pydantic error as ``key: value: what is allowed``.

    Args:
        error: of validating ``raw``.
        model: what it was validated as.
        raw: the content.
        section: of the file, where ``raw`` is not the whole.
    """
    return describe_faults(error, raw, section, lambda location: keys_at(model, location, raw))


def keys_at(model: type[BaseModel], location: Sequence[str], raw: Any) -> list[str]:
    """Allowed keys of the section at ``location``."""
    current: type[BaseModel] | None = model
    for part in location:
        field = current.model_fields.get(part) if current else None
        annotation = field.annotation if field else None
        candidates = [annotation, *get_args(annotation)]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        # A dictionary of sections (space, constraints): the next part is the user's own key.
        current = models[0] if models else current if part in _dict_keys(raw) else None
    if current is None:
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _dict_keys(raw: Any) -> set[str]:
    if not isinstance(raw, Mapping):
        return set()
    sections = [raw.get(part) for part in ("space", "constraints")]
    return {str(key) for part in sections if isinstance(part, Mapping) for key in part}
