"""``ray_cluster.yaml`` passes Ray's own validation."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


@pytest.mark.ray
def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())))


def test_nothing_listens_beyond_loopback_and_workers_need_the_token() -> None:
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    starts = [command for command in starts if " start " in command]
    assert starts
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert all("0.0.0.0" not in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
