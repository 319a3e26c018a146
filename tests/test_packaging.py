"""What is published: the source archive, the wheel that is made from it, and its installation."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.metadata import Metadata
from packaging.requirements import Requirement

import saat

ROOT = Path(__file__).parent.parent
PACKAGES = ("saat", "harness", "reports", "search_spaces")
HOOK = "import sys, setuptools.build_meta as backend; getattr(backend, sys.argv[1])(sys.argv[2])"


class Published(NamedTuple):
    archive: set[str]
    wheel: Path
    files: set[str]
    metadata: bytes


def run(*command: str | Path, cwd: Path) -> str:
    """Its standard output; neither the checkout nor this environment's settings take part."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Built as ``python -m build`` does it, with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("published")
    tree = folder / "tree"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in (*PACKAGES, "tests", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=skipped)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    run(sys.executable, "-c", HOOK, "build_sdist", folder, cwd=tree)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
        members = {name.partition("/")[2] for name in packed.getnames()}
    source = folder / archive.name.removesuffix(".tar.gz")
    run(sys.executable, "-c", HOOK, "build_wheel", folder, cwd=source)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed_wheel:
        files = set(packed_wheel.namelist())
        (name,) = (name for name in files if name.endswith("/METADATA"))
        return Published(members, wheel, files, packed_wheel.read(name))


@pytest.fixture(scope="module")
def bare(published: Published) -> Path:
    """Python of an environment that has the wheel and nothing else."""
    folder = published.wheel.parent / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=published.wheel.parent)
    python = next(path for path in folder.glob("*/python*") if path.stem == "python")
    install = ["install", "--no-deps", "--no-index", "--quiet", str(published.wheel)]
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=folder)
    return python


def test_the_wheel_has_every_file_of_the_packages_and_no_others(published: Published) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package}/py.typed" for package in ("saat", "harness", "reports")} <= wanted
    assert {name for name in published.files if ".dist-info/" not in name} == wanted


def test_the_source_archive_has_what_the_wheel_is_made_of(published: Published) -> None:
    tops = {name.partition("/")[0] for name in published.archive} - {""}
    documents = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"}
    made = {"PKG-INFO", "setup.cfg", "saat_harness.egg-info"}
    assert tops == {*PACKAGES, *documents, *made, "pyproject.toml", "MANIFEST.in"}


def test_the_metadata_is_valid_and_says_what_each_extra_installs(published: Published) -> None:
    told = Metadata.from_email(published.metadata, validate=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(told.version) == project["version"] == saat.__version__
    assert told.description_content_type == "text/markdown"
    assert told.license_expression == "Apache-2.0"

    installed: dict[str, set[str]] = {"": set()}
    for requirement in told.requires_dist or []:
        extra = re.search(r"extra == ['\"](\w+)['\"]", str(requirement.marker or ""))
        plain = Requirement(str(requirement))
        plain.marker = None
        installed.setdefault(extra[1] if extra else "", set()).add(str(plain))
    lines = {"": project["dependencies"], **project["optional-dependencies"]}
    assert installed == {
        extra: {str(Requirement(line)) for line in given} for extra, given in lines.items()
    }
    library = {Requirement(line).name for line in lines[""]}
    assert library.isdisjoint({"ray", "optuna", "mlflow", "pandas", "pydantic", "typer"})
    content = message_from_bytes(published.metadata).get_payload()
    assert str(content).startswith("# saat-harness")


@pytest.mark.slow
def test_the_library_is_imported_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    script = "import sys, saat; assert 'torch' not in sys.modules; print(saat.__version__)"
    assert run(bare, "-c", script, cwd=tmp_path).strip() == saat.__version__
    assert "bare" in run(bare, "-c", "import saat; print(saat.__file__)", cwd=tmp_path)


def test_the_command_names_the_extra_that_it_lacks(bare: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [bare.with_name("saat"), "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'saat-harness[harness]'")


@pytest.mark.slow
def test_the_command_works_once_its_dependencies_are_there(bare: Path, tmp_path: Path) -> None:
    """Those of this environment are lent: nothing is downloaded."""
    inside = run(bare, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    lent = Path(inside.strip()) / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    try:
        command = bare.with_name("saat")
        assert "search" in run(command, "--help", cwd=tmp_path)
        assert "quickstart" in run(command, "list", "spaces", cwd=tmp_path)
        script = "import harness.cli.runs as m; print(m.__file__)"
        assert "bare" in run(bare, "-c", script, cwd=tmp_path)
    finally:
        lent.unlink()


def test_the_citation_names_this_version_and_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == saat.__version__
    assert cited["license"] == "Apache-2.0"
    (paper,) = cited["references"]
    assert "arXiv:2310.14637" in {known["value"] for known in paper["identifiers"]}


@pytest.mark.parametrize(
    ("package", "extras"),
    [("saat", ["fast"]), ("reports", ["reports"]), ("harness", ["reports", "harness"])],
)
def test_a_package_imports_what_its_extra_installs(package: str, extras: Sequence[str]) -> None:
    """Or what it imports within a function, for those who have installed more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = [line for extra in extras for line in project["optional-dependencies"][extra]]
    declared = {Requirement(line).name.lower() for line in (*project["dependencies"], *given)}
    provides = packages_distributions()
    for path in (ROOT / package).rglob("*.py"):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name not in PACKAGES and name not in sys.stdlib_module_names:
                found = {distribution.lower() for distribution in provides[name]}
                assert found & declared, f"{path.relative_to(ROOT)} imports {name}"


def imported(module: ast.Module) -> Iterator[str]:
    """Top-level packages that a module imports when it is imported itself."""
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
