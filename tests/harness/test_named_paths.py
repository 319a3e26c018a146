"""A path that only a stored run or model names is not read."""

import io
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.__main__ import main
from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment, load_stored
from harness.experiment.resolve import resolve_experiment
from harness.journal.journal import line_of, read
from harness.named_paths import CarriedPath, PathsNotNamed, leave_receipt, not_named
from harness.options import Options
from harness.search_stopped import SearchStopped
from harness.session import session
from harness.trial import stages
from saat.errors import InputError
from tests.harness.fakes import finished
from tests.harness.tiny import tiny_raw
from tests.saat.data.samples import folder

SECRET = "/secrets/of/mine"
NETWORK = {"model.backbone": "alexnet", "data.image_size": 64}
SMALL: dict[str, Any] = {
    "space": {},
    "pretrain": {"epochs": 1, "batch_size": 10},
    "defense": {"epochs": 1, "steps": 1, "batch_size": 10},
    "validation": {"steps": 1, "queries": 4},
    "evaluation": {"top_k": 10, "steps": 1, "attacks": ["mainstay"]},
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def run(capsys: Any, *arguments: object) -> tuple[int, str]:
    """Status, and what was said."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), str(out + err)


def refused(capsys: Any, *arguments: object) -> str:
    status, said = run(capsys, *arguments)
    assert status == 2, said
    (line,) = (text for text in said.splitlines() if not text.startswith("decoding images"))
    return f"{line}\n"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything below SECRET that is looked at or opened."""
    seen: list[str] = []

    def watched(look: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if not isinstance(path, int) and os.fsdecode(path).startswith(SECRET):
                seen.append(os.fsdecode(path))
            return look(path, *args, **options)

        return call

    for module, names in {os: ["stat", "lstat", "open", "scandir"], io: ["open"]}.items():
        for name in names:
            monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return seen


# --- runs of somebody else


def foreign(tmp_path: Path, changes: dict[str, Any], config: dict[str, Any] | None = None) -> Path:
    """A finished run that nobody here began; ``setting`` changes what its first trial carries."""
    experiment = resolve_experiment(tiny_raw({"name": "done", **changes}), "", files=False)
    plain = resolve_experiment(tiny_raw({"name": "done"}), "")
    run_dir = tmp_path / "runs" / "done"
    finished(run_dir, plain)
    events = read(run_dir / "events.jsonl")
    events[0] |= {"search_id": "somebodys"}
    for event in events:
        if config and event["event"] == "suggested":
            event["trial"]["setting"]["data"] |= config
    (run_dir / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    text = yaml.safe_dump(experiment.dump(), sort_keys=False)
    (run_dir / "experiment.yaml").write_text(text)
    return run_dir.parent


FOREIGN: dict[str, dict[str, Any]] = {
    "data.path": {"data": {"path": SECRET, "image_size": 16, "val_queries": 40}},
    "data.root": {"data.name": "cifar10", "data.root": SECRET},
    "model.weights": NETWORK | {"model.weights": SECRET},
    "search.warm_start": {"search": {"num_samples": 2, "warm_start": [SECRET]}},
    "compare.a.model.weights": NETWORK | {"compare": {"a": {"model.weights": SECRET}}},
    "space.model.weights": NETWORK | {"space": {"model.weights": {"choice": ["none", SECRET]}}},
}


@pytest.mark.parametrize("key", FOREIGN)
def test_what_only_a_run_names_is_not_even_looked_at(
    key: str, state: Path, tmp_path: Path, looks: list[str], capsys: Any
) -> None:
    runs = foreign(tmp_path, FOREIGN[key])
    said = refused(capsys, "resume", "done", "--runs-dir", runs)
    assert f"done: carries {key} {SECRET}" in said
    assert said.endswith(f": saat resume done --runs-dir {runs} --allow {SECRET}\n")
    assert looks == []
    assert not state.exists()


def test_a_warm_start_by_name_is_of_another_run(state: Path, tmp_path: Path, capsys: Any) -> None:
    runs = foreign(tmp_path, {"search": {"num_samples": 2, "warm_start": ["mine"]}})
    said = refused(capsys, "resume", "done", "--runs-dir", runs)
    assert f"carries search.warm_start {runs / 'mine'}" in said


def test_a_warm_start_that_the_journal_has_is_not_read_again(
    state: Path, tmp_path: Path, capsys: Any
) -> None:
    runs = foreign(tmp_path, FOREIGN["search.warm_start"])
    journal = runs / "done" / "events.jsonl"
    events = read(journal)
    events.insert(1, {"seq": 1, "time": 1.0, "event": "warm_started", "runs": {}, "trials": []})
    events = [{**event, "seq": number} for number, event in enumerate(events)]
    journal.write_bytes(b"".join(map(line_of, events)))
    assert "carries" not in refused(capsys, "resume", "done", "--runs-dir", runs)


def test_a_path_that_only_a_trial_of_the_journal_carries_is_not_read(
    state: Path, tmp_path: Path, looks: list[str], capsys: Any
) -> None:
    runs = foreign(tmp_path, {}, config={"name": None, "path": SECRET})
    said = refused(capsys, "resume", "done", "--runs-dir", runs)
    assert f"carries data.path {SECRET}" in said
    assert looks == []


@pytest.mark.parametrize("key", FOREIGN)
@pytest.mark.parametrize("command", ["status", "report", "sync"])
def test_commands_that_need_no_path_ask_for_none_and_read_none(
    command: str,
    key: str,
    state: Path,
    tmp_path: Path,
    looks: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    runs = foreign(tmp_path, FOREIGN[key])

    class Silent:
        def __init__(self, *_: object) -> None: ...
        def start(self, events: object) -> None: ...
        def close(self, timeout: float, patient: bool) -> str:
            return ""

    monkeypatch.setattr(session, "Tracker", Silent)
    monkeypatch.setattr("reports.html.write_report", lambda searches, folder, *_: folder)
    monkeypatch.setattr(session, "check_reported_protocol", lambda *_: None)
    status, said = run(capsys, command, "done", "--runs-dir", runs)
    assert status == 0, said
    assert looks == []


# --- what the user names


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """``a/b/data``, its neighbour ``a/bc``, and links."""
    for name in ("a/b/data", "a/bc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/b/out").symlink_to(tmp_path / "a/bc")
    (tmp_path / "near").symlink_to(tmp_path / "a/b")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "allow", "named"),
    [
        ("a/b/data", ["a/b/data"], True),
        ("a/b/data", ["a/b"], True),
        ("a/b/data", ["a"], True),
        ("a/b/data", ["a/bc", "a/b"], True),
        ("a/b/data/../data", ["a/b"], True),
        ("a/b/data", ["near"], True),
        ("near/data", ["a/b"], True),
        ("a/bc", ["a/b"], False),
        ("a/b", ["a/b/data"], False),
        ("a/b/../bc", ["a/b"], False),
        ("a/b/out", ["a/b"], False),
        ("a/b/out/x", ["a/b"], False),
        ("a/b/none/x", ["a/b"], True),
    ],
)
def test_what_a_path_allows(path: str, allow: list[str], named: bool, places: Path) -> None:
    item = CarriedPath("data.path", str(places / path))
    left = not_named(None, [item], [places / place for place in allow])
    assert bool(left) is not named


def test_all_of_several_paths_have_to_be_named(places: Path) -> None:
    one = CarriedPath("data.path", str(places / "a/b"))
    other = CarriedPath("model.weights", str(places / "a/bc"))
    assert not_named(None, [one, other], [places / "a/b"]) == [other]
    error = PathsNotNamed("x", [one, other, one._replace(key="data.root")])
    assert error.paths == [one.path, other.path]


def test_a_receipt_counts_for_its_run_and_its_paths_alone(state: Path, places: Path) -> None:
    one, other = (CarriedPath("data.path", str(places / name)) for name in ("a/b", "a/bc"))
    leave_receipt("mine", [one])
    assert not_named("mine", [one]) == []
    assert not_named("mine", [one._replace(path=str(places / "near"))]) == []
    within = one._replace(path=str(places / "a/b/data"))
    assert not_named("mine", [other, within]) == [other, within]
    assert not_named("other", [one]) == [one]
    assert not_named(None, [one]) == [one]


def test_receipts_are_this_users_alone(state: Path, tmp_path: Path) -> None:
    leave_receipt("embedded", [])
    assert not state.exists()
    leave_receipt("mine", [CarriedPath("data.path", str(tmp_path))])
    (receipt,) = (state / "saat" / "runs").iterdir()
    assert (state / "saat" / "runs").stat().st_mode & 0o777 == 0o700
    assert "mine" not in receipt.name


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_state_folder_it_is_that_of_the_home_folder(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path))
    leave_receipt("mine", [CarriedPath("data.path", str(tmp_path))])
    assert len(list((tmp_path / ".local/state/saat/runs").iterdir())) == 1


# --- runs of this user


def stops(experiment: Experiment, journal: Any, *_: Any) -> Path:
    """In place of the search: it is stopped at once."""
    journal.close()
    raise SearchStopped("stopped")


@pytest.fixture
def file(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment on a folder; whatever starts it is stopped before its first trial."""
    monkeypatch.setattr(session, "run_search", stops)
    data = {"path": str(folder(tmp_path / "data")), "image_size": 16, "val_queries": 4}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_raw(SMALL | {"data": data})))
    return path


def test_a_run_of_ones_own_goes_on_without_a_question(
    file: Path, tmp_path: Path, capsys: Any
) -> None:
    runs = tmp_path / "runs"
    hint = "continue with: saat resume tiny"
    status, said = run(capsys, "train", file, "--runs-dir", runs)
    assert status == 1, said
    assert f"{hint} --executor inline --runs-dir {runs}\n" in said
    status, said = run(capsys, "resume", "tiny", "--runs-dir", runs)
    hint += f" --runs-dir {runs}\n"
    assert (status, hint in said) == (1, True), said


def test_the_hint_goes_on_as_the_command_did(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    seen: list[Options] = []

    def noting(_: Experiment, options: Options, *__: Any) -> tuple[None, int]:
        seen.append(options)
        return None, 1

    monkeypatch.setattr(session, "executor_of_run", noting)
    options = ["--runs-dir", tmp_path / "my runs", "--cache-dir", tmp_path / "cache"]
    status, said = run(capsys, "train", file, "--executor", "inline", *options)
    options += ["--executor", "ray", "--address", "10.0.0.1:6379", "--autoscaling"]
    status, said = run(capsys, "resume", "tiny", *options)
    for _ in range(2):
        assert status == 1, said
        (hint,) = [line for line in said.splitlines() if line.startswith("continue with: saat ")]
        status, said = run(capsys, *shlex.split(hint)[3:])
    assert seen[1] == seen[2] == seen[3] != seen[0]
    assert (seen[3].executor, seen[3].autoscaling) == ("ray", True)


def test_another_path_in_its_file_is_not_what_it_began_with(
    file: Path, tmp_path: Path, capsys: Any
) -> None:
    runs, data = tmp_path / "runs", tmp_path / "data"
    run(capsys, "train", file, "--runs-dir", runs)
    shutil.copytree(data, tmp_path / "data2", copy_function=os.link)
    stored = runs / "tiny" / "experiment.yaml"
    stored.write_text(stored.read_text().replace(str(data), str(tmp_path / "data2")))
    said = refused(capsys, "resume", "tiny", "--runs-dir", runs)
    assert f"carries data.path {tmp_path / 'data2'};" in said


def test_the_shown_command_goes_on_and_its_hint_keeps_the_option(
    file: Path, state: Path, tmp_path: Path, capsys: Any
) -> None:
    runs = tmp_path / "runs"
    run(capsys, "train", file, "--runs-dir", runs)
    shutil.rmtree(state)  # as of an earlier version, or of somebody else
    said = refused(capsys, "resume", "tiny", "--runs-dir", runs)
    status, said = run(capsys, *shlex.split(said.rpartition(": saat ")[2]))
    assert status == 1, said
    allowed = f"--allow {tmp_path / 'data'}"
    assert f"continue with: saat resume tiny --runs-dir {runs} {allowed}\n" in said
    assert not state.exists(), "what was allowed once is not remembered"


def test_where_no_receipt_can_be_left_the_search_goes_on_and_says_so(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "taken"))
    runs = tmp_path / "runs"
    status, said = run(capsys, "train", file, "--runs-dir", runs)
    assert status == 1
    assert "the receipt of this run could not be written" in said
    (hint,) = [line for line in said.splitlines() if line.startswith("continue with: ")]
    assert hint.endswith(f"--allow {tmp_path / 'data'}")
    assert "carries data.path" in refused(capsys, "resume", "tiny", "--runs-dir", runs)
    status, said = run(capsys, *shlex.split(hint.removeprefix("continue with: saat ")))
    assert status == 1, said


def test_an_experiment_file_is_still_checked_with_its_files(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for key in ("model.weights", "compare.a.model.weights", "space.model.weights"):
        file.write_text(yaml.safe_dump(tiny_raw(FOREIGN[key])))
        with pytest.raises(InputError, match="no such file; none, imagenet or a path"):
            load_experiment(file)
        assert load_stored(file)


# --- trained models


@pytest.mark.lengthy
def test_the_data_of_a_model_are_read_by_whoever_began_its_run_or_allows_them(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    data = folder(tmp_path / "data")
    section = {"path": str(data), "image_size": 16, "val_queries": 4}
    file, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump(tiny_raw(SMALL | {"data": section})))
    status, said = run(capsys, "train", file, "--runs-dir", runs)
    assert status == 0, said
    (model,) = (runs / "tiny" / "trials").glob("*/model.safetensors")
    copied = shutil.copy(model, tmp_path / "model.safetensors")
    commands: list[tuple[object, ...]] = [
        ("evaluate", model),
        ("verify", "tiny", "--runs-dir", runs),
        ("transfer", "tiny", "--runs-dir", runs),
    ]
    for command in commands:
        status, said = run(capsys, *command)
        assert status == 0, said
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another account"))
    stages.OPENED.clear()  # as in a process of its own
    for command in [*commands, ("evaluate", copied)]:
        status, said = run(capsys, *command)
        assert status == 2
        assert f"carries data.path {data};" in said
        assert said.endswith(f"--allow {data}\n")
        status, said = run(capsys, *command, "--allow", tmp_path)
        assert status == 0, said
        stages.OPENED.clear()
    status, said = run(capsys, "evaluate", copied, "--data-path", data)
    assert status == 0, said
