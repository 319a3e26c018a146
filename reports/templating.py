"""Make pages of the templates; a page needs no other file, and equal values give equal bytes."""

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from saat.errors import printable


def rendered(
    template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """A template of ``reports/templates`` with its values; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def shown(value: object) -> object:
    """Text without the control characters that reverse or hide the text beside them."""
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return "\n".join(map(printable, str(value).split("\n"))) if is_text else value
