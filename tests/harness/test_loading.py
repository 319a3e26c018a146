"""No file that somebody else may have written is loaded in a way that could run what it holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), "")


_UNPICKLES = ("pickle.", "cloudpickle.", "joblib.", "marshal.", "shelve.", "dill.")
_RUNS = ("eval", "exec", "compile", "os.system", "yaml.load", "yaml.unsafe_load", "yaml.full_load")
_OWN = {
    # Ray's exception, which Tune has pickled in this process, into Ray's own folder.
    "harness/executors/ray_errors.py": ["cloudpickle.loads runs what it reads"],
    # It knows the names of arrays alone, all as a class that stores what it is given; that
    # every other name is refused is tested in tests/saat/test_models_squeezenet.py.
    "saat/models/squeezenet.py": ["class _OnlyArrays unpickles"],
}
_WEIGHTS = ("torch.load", "get_state_dict", "load_state_dict_from_url")


def unpicklers(tree: ast.AST) -> Iterator[str]:
    """Classes that unpickle, and names that are taken out of a module that does."""
    modules = tuple(name.rstrip(".") for name in _UNPICKLES)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(base.endswith("Unpickler") for base in bases):
                yield f"class {node.name} unpickles"
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            yield f"from {node.module} import hides what it calls"


def faults(source: str) -> list[str]:
    """Calls that would run what somebody else wrote into a file."""
    tree = ast.parse(source)
    found = list(unpicklers(tree))
    for name, call in calls(tree):
        wrong = ""
        if name.endswith(_WEIGHTS) and keyword(call, "weights_only") != "True":
            wrong = "without weights_only=True"
        elif name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") != "False":
            wrong = "without allow_pickle=False"
        elif name in _RUNS or name.startswith(_UNPICKLES) or name.endswith("read_pickle"):
            wrong = "runs what it reads"
        elif keyword(call, "shell") == "True":
            wrong = "through a shell"
        if wrong:
            found.append(f"{name} {wrong}")
    return found


@pytest.mark.parametrize("package", ["saat", "harness", "reports", "benchmarks"])
def test_no_file_is_loaded_that_could_run_code(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text()) for path in paths}
    own = {path: said for path, said in _OWN.items() if path in found}
    assert {path: said for path, said in found.items() if said} == own


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "weights.get_state_dict(progress=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "pickle.loads(text)",
        "pickle.Unpickler(file).load",
        "from pickle import loads",
        "from pickle import Unpickler as Reader",
        "class Mine(pickle.Unpickler): pass",
        "class Mine(torch._weights_only_unpickler.Unpickler): pass",
        "pd.read_pickle(path)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_a_call_that_could_run_code_is_seen(line: str) -> None:
    assert len(faults(line)) == 1
