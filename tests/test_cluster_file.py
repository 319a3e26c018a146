"""The files for clusters: what Ray, Kubernetes, bash and the command line make of them."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from harness.cli import app
from tests.command_lines import commands, fault, fenced

ROOT = Path(__file__).parent.parent
CLUSTER = ROOT / "docs" / "cluster"
AWS, LOCAL = ROOT / "ray_cluster.yaml", CLUSTER / "on_premises.yaml"
RAYJOB, SLURM, CONTAINER = (CLUSTER / n for n in ("rayjob.yaml", "slurm.sh", "Containerfile"))
READMES = [ROOT / "README.md", CLUSTER / "README.md"]
TUTORIAL = ROOT / "docs" / "tutorials" / "cluster.md"


def _resources() -> dict[str, dict[str, Any]]:
    documents = [d for d in yaml.safe_load_all(RAYJOB.read_text()) if d]
    return {document["kind"]: document for document in documents}


def _groups() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    cluster = _resources()["RayJob"]["spec"]["rayClusterSpec"]
    return cluster["headGroupSpec"], cluster["workerGroupSpecs"]


def _pods() -> list[dict[str, Any]]:
    head, workers = _groups()
    return [group["template"]["spec"] for group in (head, *workers)]


def _containers() -> list[dict[str, Any]]:
    found = [c for pod in _pods() for c in pod.get("initContainers", []) + pod["containers"]]
    assert len(found) >= 2
    return found


def _text(path: Path) -> str:
    """What of a file is commands: fenced blocks, the entry point, or all of it."""
    if path.suffix == ".md":
        return fenced(path.read_text())
    if path == RAYJOB:
        return str(_resources()["RayJob"]["spec"]["entrypoint"])
    return _expanded(path.read_text()) if path == SLURM else path.read_text()


def _expanded(script: str) -> str:
    """``slurm.sh`` with its arrays and functions written out."""
    script = re.sub(r"\\\n\s*", "", script)
    common = re.search(r"^common=\(([^)]*)\)", script, flags=re.M)
    assert common
    assert script.count('"${common[@]}"') == 2
    script = script.replace('"${common[@]}"', " ".join(common[1].split()))
    script = script.replace('search "$@"', "search EXPERIMENT.yaml")
    starts = re.findall(r"^ *start_ray \S+ (--.*)$", script, flags=re.M)
    assert len(starts) == 2
    script = script.replace('start "$@"', "start")
    script = "\n".join([script, *(f"ray start {arguments}" for arguments in starts)])
    return re.sub(r"\$\{\w+[^}]*\}|\$\w+", "1", script)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("path", [AWS, LOCAL], ids=lambda path: path.name)
def test_ray_accepts_the_cluster_file(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", [AWS, LOCAL], ids=lambda path: path.name)
def test_the_dashboard_stays_on_loopback_and_every_node_needs_the_token(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    starts = [command for command in starts if "ray start " in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert all("SAAT_DATA=/" in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert any(target.endswith(".ray/auth_token") for target in config["file_mounts"])
    assert any(re.match(r"chmod 600 \S+/auth_token", c) for c in config["setup_commands"])


def test_what_the_head_needs_is_installed_where_ray_runs() -> None:
    for path in (AWS, LOCAL):
        installs = "\n".join(yaml.safe_load(path.read_text())["setup_commands"])
        assert re.search(
            r"venv/bin/pip install .*-c \S*requirements.lock 'ray\[default\]'", installs
        )
    head = yaml.safe_load(AWS.read_text())["head_setup_commands"]
    assert any("venv/bin/pip" in command and "boto3" in command for command in head)


def test_the_tracking_server_is_on_the_head_alone_and_the_search_is_told_where() -> None:
    from mlflow.cli import cli

    config = yaml.safe_load(AWS.read_text())
    (start,) = (c for c in config["head_start_ray_commands"] if "mlflow" in c)
    assert subprocess.run(["bash", "-n", "-c", start], check=False).returncode == 0
    (words,) = commands(start, "mlflow")
    assert fault(cli, words) == ""
    given = dict(itertools.pairwise(words))
    assert given["--host"] == "127.0.0.1"
    assert f"{given['--host']}:{given['--port']} " in start, "not started twice"
    address = f"http://{given['--host']}:{given['--port']}"
    for path in (AWS, READMES[1]):
        searches = [w for w in commands(_text(path), "saat") if w[0] == "search"]
        assert any(address in w for w in searches), path
    assert not any("mlflow" in c for c in config["worker_start_ray_commands"])


def test_machines_of_ones_own_all_start() -> None:
    config = yaml.safe_load(LOCAL.read_text())
    assert config["provider"]["type"] == "local"
    workers = len(config["provider"]["worker_ips"])
    assert config["min_workers"] == config["max_workers"] == workers
    head = config["head_start_ray_commands"][-1]
    assert "RAY_enable_autoscaler_v2=0" in head
    assert {"--num-cpus=0", "--num-gpus=0"} <= set(head.split())


@pytest.mark.parametrize("path", [AWS, LOCAL, RAYJOB, SLURM, CONTAINER, READMES[1], TUTORIAL])
def test_nothing_is_bound_to_all_interfaces(path: Path) -> None:
    assert "0.0.0.0" not in path.read_text()


def test_the_rayjob_is_one_and_follows_the_lock() -> None:
    job = _resources()["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.M)
    assert locked
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked[1]


def test_gpus_are_the_workers() -> None:
    head, workers = _groups()
    assert "nvidia.com/gpu" not in str(head)
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group in workers:
        for container in group["template"]["spec"]["containers"]:
            resources = container["resources"]
            assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"]


def test_every_container_asks_for_the_token_from_one_secret() -> None:
    secret = _resources()["RayJob"]["spec"]["rayClusterSpec"]["authOptions"]
    assert secret["mode"] == "token"
    for container in _containers():
        env = {variable["name"]: variable for variable in container["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        reference = env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": secret["secretName"], "key": "auth_token"}
        assert env["SAAT_DATA"]["value"].startswith("/shared/")


def test_every_container_has_the_same_image_the_runs_and_bounded_rights() -> None:
    claim = _resources()["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        shared = volumes["shared"]["persistentVolumeClaim"]["claimName"]
        assert shared == claim["metadata"]["name"]
    images = {container["image"] for container in _containers()}
    assert len(images) == 1
    assert not re.search(r":latest$|/[^:]*$", images.pop())
    for container in _containers():
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["shared"] == "/shared"
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_network_policy_selects_the_pods() -> None:
    selector = _resources()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    head, workers = _groups()
    for group in (head, *workers):
        assert selector.items() <= group["template"]["metadata"]["labels"].items()


def test_the_entry_point_resumes_and_writes_to_the_shared_folder() -> None:
    entry = _resources()["RayJob"]["spec"]["entrypoint"]
    found = list(commands(entry, "saat"))
    assert [words[0] for words in found] == ["resume", "search"]
    for words in found:
        assert words[words.index("--runs-dir") + 1] == "/shared/runs"
        assert words[words.index("--address") + 1] == "auto"
    resumed, searched = found
    assert resumed[1] == searched[searched.index("--name") + 1]
    assert f"/shared/runs/{resumed[1]}/events.jsonl" in entry
    # A new head has none of the receipts that the first one left.
    data = searched[searched.index("--set") + 1].removeprefix("data.path=")
    assert Path(data).is_relative_to(resumed[resumed.index("--allow") + 1])
    space = searched[1].removeprefix("/app/")
    assert (ROOT / space).is_file()
    assert subprocess.run(["bash", "-n", "-c", entry], check=False).returncode == 0


def test_bash_accepts_the_slurm_script() -> None:
    result = subprocess.run(["bash", "-n", SLURM], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = SLURM.read_text()
    assert "set -euo pipefail" in text
    assert text.index("export RAY_AUTH_MODE=token") < text.index("start_ray ")
    assert "--include-dashboard=false" in text


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_shellcheck_finds_nothing_in_the_slurm_script() -> None:
    result = subprocess.run(
        ["shellcheck", "--enable=quote-safe-variables", SLURM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_the_image_is_pinned_installs_the_lock_and_is_not_root() -> None:
    lines = [line.strip() for line in CONTAINER.read_text().replace("\\\n", " ").splitlines()]
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    bases = [rest for step, rest in steps if step == "FROM"]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    assert all("3.11" in base for base in bases)
    users = [rest for step, rest in steps if step == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*(:\d+)?", users[-1])  # Kubernetes cannot judge a name
    assert _pods()[0]["securityContext"]["runAsUser"] == int(users[-1].split(":")[0])
    runs = " ".join(rest for step, rest in steps if step == "RUN")
    assert re.search(r"pip install .*--requirement requirements\.lock", runs)
    copied = [source for step, rest in steps if step == "COPY" for source in rest.split()[:-1]]
    assert {"requirements.lock", "pyproject.toml", "saat", "harness", "reports"} <= set(copied)
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize(
    "path", [*READMES, TUTORIAL, AWS, LOCAL, RAYJOB, SLURM], ids=lambda path: path.name
)
def test_the_command_line_knows_every_command(path: Path) -> None:
    found = list(commands(_text(path), "saat"))
    assert found, "no command was found"
    tree = typer.main.get_command(app)
    assert [said for words in found if (said := fault(tree, words))] == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    "path", [READMES[1], TUTORIAL, AWS, LOCAL, SLURM], ids=lambda path: path.name
)
def test_ray_knows_every_command(path: Path) -> None:
    from ray.scripts.scripts import cli

    found = [words for words in commands(_text(path), "ray") if words]
    assert found, "no command was found"
    assert [said for words in found if (said := fault(cli, words))] == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("saat search x.yaml --adress auto", "No such option"),
        ("A=b .venv/bin/saat prefly && ls", "No such command"),
        ("saat resume --address auto", "Missing argument"),
        ("saat resume one two", "unexpected extra argument"),
        ("saat ui one --port http", "Invalid value for '--port'"),
        ("#   saat status a; saat report a \\\n#     --out b", "No such option"),
        ("saat verify NAME        recompute --all", ""),
        ("if x; then saat resume a --address auto; fi", ""),
    ],
)
def test_a_wrong_command_is_seen(line: str, complaint: str) -> None:
    tree = typer.main.get_command(app)
    said = [fault(tree, words) for words in commands(line, "saat")]
    assert said
    assert complaint in said[-1] if complaint else not any(said)
