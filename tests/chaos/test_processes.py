"""What the bench takes a process for."""

import pytest

from tests.chaos.processes import Process
from tests.chaos.worker_faults import is_actor, is_agent, is_head, is_raylet, is_worker

TITLES = {
    "ray::IDLE": is_worker,
    "/usr/bin/python /lib/ray/_private/workers/default_worker.py --node=1": is_worker,
    "ray::ImplicitFunc.train": is_actor,
    "ray::RuntimeEnvAgent": is_agent,
    "/lib/ray/raylet/raylet --python_worker_command=python default_worker.py": is_raylet,
    "/lib/ray/gcs/gcs_server --log_dir=/tmp": is_head,
}


@pytest.mark.parametrize("title", TITLES)
def test_a_process_is_of_one_kind(title: str) -> None:
    kinds = (is_worker, is_actor, is_agent, is_raylet, is_head)
    assert [kind for kind in kinds if kind(Process(1, 1, title))] == [TITLES[title]]
