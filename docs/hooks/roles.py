"""Sphinx roles of docstrings, such as ``:class:`Name```, become links of the site."""

import re

import griffe

_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr|exc):`~?([^`]+)`")


class Roles(griffe.Extension):
    """Replaces roles in every docstring of a package.

    A name may be whole, or relative to the object, its class or its module. A name that no page
    describes stays as code.
    """

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: object) -> None:
        """Called once the package is loaded as a whole."""
        self._in(pkg, loader.modules_collection)

    def _in(self, item: griffe.Object, known: griffe.ModulesCollection) -> None:
        if item.docstring:
            item.docstring.value = _ROLE.sub(
                lambda role: _link(role[1], item, known), item.docstring.value
            )
        for member in item.members.values():
            if isinstance(member, griffe.Object):
                self._in(member, known)


def _link(name: str, item: griffe.Object, known: griffe.ModulesCollection) -> str:
    scopes = [item.path, item.parent.path if item.parent else "", item.module.path]
    for candidate in [*(f"{scope}.{name}" for scope in scopes), name]:
        try:
            path = known[candidate].canonical_path
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            continue
        return f'<autoref optional identifier="{path}">`{name}`</autoref>'
    return f"`{name}`"
