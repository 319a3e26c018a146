"""Tests ask for public names alone. Ruff (SLF001) sees attributes; the rest is looked for here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
# Private names of other packages, and why tests need them.
REASONS = {
    "ray._private.utils": "functions that ray.init calls",
    "ray.autoscaler._private.util": "Ray's own check of a cluster file",
    "torch._dynamo": "a module that workers must not import",
    "torch._weights_only_unpickler": "the way that checkpoints are attacked by",
    "torch.utils._python_dispatch": "where the documented TorchDispatchMode is",
    "torch.utils._triton": "whether Triton is there",
    "plot._fullLayout": "the ranges that Plotly shows",
    "CacheImpl._locator_classes": "folders that Numba may write to",
}


def private_names(path: Path) -> Iterator[str]:
    """What a test imports, replaces by its name, or names in a script of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        match node:
            case ast.ImportFrom(module=str(module)):
                names = [f"{module}.{name.name}" for name in node.names]
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[_, ast.Constant(str(name)), _]):
                names = [f".{name}"]
            case ast.Constant(str(text)):
                names = re.findall(r"[\w.]+\._\w+", text)
        yield from (name for name in names if re.search(r"\._[A-Za-z]", name))


def test_only_public_names_are_imported_and_replaced() -> None:
    found = [
        f"{path.relative_to(TESTS)}: {name}"
        for path in TESTS.rglob("*.py")
        for name in private_names(path)
        if path != Path(__file__) and not any(known in name for known in REASONS)
    ]
    assert found == []
