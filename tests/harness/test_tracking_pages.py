"""What a person finds in MLflow: views, names, descriptions, data, models, the report."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import saat
from harness import mlflow_flavor
from harness.experiment.config import Experiment
from harness.journal.journal import Event, read
from harness.journal.state import SearchState
from harness.search.recommendation import explored_hypervolume, front_of
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.origin import read_origin, source_tags, version_tags
from harness.tracking.report_files import self_contained
from harness.tracking.run_names import run_name
from harness.tracking.saved_views import FRONT, LANDING, has_view, runs_page, view_tags
from harness.tracking.tracked_values import experiment_params
from harness.tracking.tracker import Tracker
from reports.tracked_runs import TRACKED_RUNS, read_tracked_runs
from saat import tensor_file
from saat.defenses import defended_network
from saat.models import build_network
from tests.harness.fakes import experiment, finished

NAME = "pages"
FINGERPRINT = "4611bf1cb18c1665eee9f9107014aae176874127443cbc5c5efdee5cd9b9f606"
TAGS = {
    "saat.search_id": "the search",
    "saat.protocol": "protocol",
    "saat.dataset": "digits_mini",
    "saat.data_fingerprint": FINGERPRINT,
}
ORIGIN = {
    "versions": {"python": "3.11", "torch": "2.15"},
    "git_revision": "abc",
    "command": "saat search demo.yaml",
    "data": {"name": "digits_mini", "train": 400, "classes": 10},
}
SPACE = {
    "defense.lambda": {"float": [0.1, 10.0], "log": True},
    "defense.eps": {"float": ["2/255", "16/255"]},
    "model.bits": {"choice": [16, 32]},
}


def searched() -> Experiment:
    return experiment(
        name=NAME, space=SPACE, search__num_samples=4, search__sampler="random", confirm__seeds=2,
        confirm__max_configs=1,
    )  # fmt: skip


class Search:
    """A finished search whose events a server has."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.run_dir = folder / NAME
        finished(self.run_dir, searched())
        (self.run_dir / "provenance.json").write_text(json.dumps(ORIGIN))
        self.events: list[Event] = read(self.run_dir / "events.jsonl")
        self.state = SearchState(self.events)
        self.tested = self.state.of_phase("confirm")[0]
        self.weights = self.run_dir / "trials" / self.tested.spec.trial_id / "model.safetensors"
        write_network(self.weights, self.tested.config)
        self.deliver()
        self.client = MlflowClient(self.uri)
        found = self.client.get_experiment_by_name(NAME)
        assert found is not None
        self.experiment_id, self.tags = found.experiment_id, dict(found.tags)
        self.runs = {
            run.data.tags["saat.trial_id"]: run
            for run in self.client.search_runs([self.experiment_id])
        }

    def deliver(self) -> None:
        began = self.events[0]["time"]
        tracker = Tracker(MlflowRuns(self.uri, self.run_dir, searched(), TAGS, began))
        tracker.start(self.events)
        assert tracker.close(timeout=200, patient=True) == ""


def write_network(path: Path, config: Any) -> None:
    setting = config.dump()
    model, defense = setting["model"], setting["defense"]
    size = setting["data"]["image_size"]
    bare = build_network(model["backbone"], model["weights"], model["bits"], size, seed=0)
    network = defended_network(defense["method"], bare, defense)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensor_file.save(
        path, tensor_file.prefixed("network", network.state_dict()), {"setting": setting}
    )


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return Search(tmp_path_factory.mktemp("pages"))


@pytest.mark.slow
def test_a_run_is_named_by_what_it_is_and_by_its_setting(search: Search) -> None:
    record = next(r for r in search.state.of_phase("explore") if r.spec.role == "sampled")
    values = record.config.flat()
    setting = (
        f"{values['model.bits']} bits · λ {values['defense.lambda']:.3g} · "
        f"ε {255 * values['defense.eps']:.3g}"
    )
    assert search.runs[record.spec.trial_id].info.run_name == f"#{record.spec.number} · {setting}"
    tested = search.tested
    assert run_name(searched(), tested, "A").startswith("A · ")
    assert run_name(searched(), tested, "A").endswith(f" · seed {tested.spec.seed}")
    undefended = next(r for r in search.state.of_phase("confirm") if r.spec.role == "undefended")
    assert re.fullmatch(r"undefended · \d+ bits · seed \d", run_name(searched(), undefended))


def test_small_numbers_have_exponents_without_zeros(search: Search) -> None:
    given = experiment(name=NAME, compare={"tiny": {"defense.mu": 1e-5}}, space={})
    record = search.state.of_phase("explore")[0]
    config = record.config.model_copy(deep=True)
    object.__setattr__(config.defense, "mu", 1e-5)
    spec = type(record.spec)(**{**vars(record.spec), "config": config, "role": "tiny"})
    renamed = type(record)(spec, record.config_hash, {}, {})
    assert run_name(given, renamed) == "tiny · μ 1e-5"


def test_saved_views_have_columns_and_charts_that_the_runs_have(search: Search) -> None:
    tags = view_tags(searched())
    assert tags.items() <= search.tags.items()
    completed = [r.data for r in search.runs.values() if "clean_map" in r.data.metrics]
    for text in tags.values():
        assert len(text) < 5000, "MLflow's limit of older versions"
        envelope = json.loads(text)
        assert envelope["createdAt"] == envelope["updatedAt"] == 0
        state = json.loads(envelope["state"])
        for column in state["selectedColumns"]:
            kind, name = re.fullmatch(r"(\w+)\.`(.+)`", column).groups()  # type: ignore[union-attr]
            assert any(name in getattr(data, kind) for data in completed) or name == "saat.warnings"
        scatter = next(c for c in state["compareRunCharts"] if c["type"] == "SCATTER")
        assert (scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == ("clean_map", "robust_map")
        parallel = next(c for c in state["compareRunCharts"] if c["type"] == "PARALLEL")
        assert parallel["selectedParams"] == ["model.bits", "defense.lambda", "defense.eps"]
        sections = {section["uuid"] for section in state["compareRunSections"]}
        assert {c["metricSectionId"] for c in state["compareRunCharts"]} <= sections
    page = runs_page(search.experiment_id, LANDING)
    assert page.startswith(f"#/experiments/{search.experiment_id}/runs?workflowType=")
    assert has_view(search.tags, LANDING)
    assert not has_view({}, LANDING)


def test_a_view_that_a_user_changed_stays(search: Search, tmp_path: Path) -> None:
    shutil.copytree(search.run_dir, tmp_path / NAME)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowRuns(uri, tmp_path / NAME, searched(), TAGS).connect()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(NAME)
    assert found is not None
    number = found.experiment_id
    key = next(iter(view_tags(searched())))
    client.set_experiment_tag(number, key, "mine")
    MlflowRuns(uri, tmp_path / NAME, searched(), TAGS).connect()
    assert client.get_experiment(number).tags[key] == "mine"


def test_headline_numbers_are_the_final_ones_and_searched_params_come_first(
    search: Search,
) -> None:
    for record in search.state.trials.values():
        run = search.runs[record.spec.trial_id]
        phase = "reattack" if record.spec.phase == "explore" else "test"
        for name in ("clean_map", "robust_map"):
            expected = record.metrics.get(f"{phase}/{name}")
            assert run.data.metrics.get(name) == expected
            assert (expected is None) == (record.status != "completed")
        assert {"model.bits", "seed", "pretrain.epochs"} <= set(run.data.params)
    parent = search.runs["search"]
    assert parent.data.params == experiment_params(searched())
    assert parent.data.params["space.defense.lambda"] == "float [0.1, 10.0] log"
    assert len(parent.data.params) < 10


def test_runs_have_source_versions_data_set_and_the_times_of_the_journal(search: Search) -> None:
    parent, child = search.runs["search"], search.runs[search.tested.spec.trial_id]
    for run in (parent, child):
        assert run.data.tags["mlflow.source.name"] == "saat search demo.yaml"
        assert run.data.tags["mlflow.source.git.commit"] == "abc"
        assert run.inputs is not None
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.name == "digits_mini"
        assert FINGERPRINT.startswith(used.dataset.digest)
        profile = json.loads(str(used.dataset.profile))
        assert profile == {"fingerprint": FINGERPRINT, "train": 400, "classes": 10}
    assert parent.data.tags["saat.version.torch"] == "2.15"
    assert child.info.start_time == int(1000 * search.tested.started_at)
    assert child.info.end_time == int(1000 * search.tested.finished_at)
    assert parent.info.start_time == int(1000 * search.events[0]["time"])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"versions": 3, "data": []}'])
def test_a_provenance_that_cannot_be_read_says_nothing(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "provenance.json").write_text(content)
    found = read_origin(tmp_path)
    assert version_tags(found) == source_tags(found) == {}


def test_descriptions_have_the_result_first_and_link_to_runs_that_are_there(
    search: Search,
) -> None:
    note = search.runs["search"].data.tags["mlflow.note.content"]
    assert note.startswith("**recommended")
    assert "Front of the search" in note
    linked = set(re.findall(r"/runs/([0-9a-f]{32})\?", note))
    assert linked <= {run.info.run_id for run in search.runs.values()}
    assert search.runs[search.tested.spec.trial_id].info.run_id in linked
    child = search.runs[search.tested.spec.trial_id].data.tags["mlflow.note.content"]
    clean = 100 * search.tested.metrics["test/clean_map"]
    assert child.startswith(f"**{clean:.1f} % clean MAP, ")
    parent_id = search.runs["search"].info.run_id
    assert f"/runs/{parent_id}/artifacts/report.html" in child


def test_a_running_search_is_described_every_half_minute_at_most(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    clock = [100.0]
    monkeypatch.setattr("harness.tracking.mlflow_runs.time.monotonic", lambda: clock[0])
    plain = MlflowClient.set_tag

    def set_tag(client: MlflowClient, run_id: str, key: str, value: str) -> None:
        if (run_id, key) == (parent, "mlflow.note.content"):
            notes.append(value)
        plain(client, run_id, key, value)

    monkeypatch.setattr(MlflowClient, "set_tag", set_tag)
    run_dir = tmp_path / NAME
    shutil.copytree(search.run_dir, run_dir)
    runs = MlflowRuns(f"sqlite:///{tmp_path / 'mlflow.db'}", run_dir, searched(), TAGS)
    parent = runs.connect()
    state = SearchState()
    for event in search.events[:12]:
        state.apply(event)
        runs.deliver(event, state)
    assert len(notes) == 1, "of the start"
    for event in search.events[12:30]:
        clock[0] += 10
        state.apply(event)
        runs.deliver(event, state)
    assert 5 <= len(notes) <= 7
    assert "running" in notes[-1]
    shown = re.compile(r"Front of the search, (\d+) settings?, hypervolume (0\.\d{4})")
    fronts = [found.groups() for note in notes if (found := shown.search(note))]
    assert len(set(fronts)) > 1, "it grows while the search runs"
    volumes = [float(volume) for _, volume in fronts]
    assert volumes == sorted(volumes)


def test_front_and_hypervolume_of_the_parent_grow_with_every_completed_trial(
    search: Search,
) -> None:
    aims, state = searched().aims, SearchState()
    sizes, volumes = [], []
    for event in search.events:
        state.apply(event)
        if event["event"] == "completed" and state.recommended is None:
            sizes.append(float(len(front_of(aims, state))))
            volumes.append(explored_hypervolume(aims, state))
    parent = search.runs["search"].info.run_id
    history = {
        name: [m.value for m in search.client.get_metric_history(parent, name)]
        for name in ("front_size", "hypervolume")
    }
    assert history["front_size"] == sizes
    assert history["hypervolume"] == pytest.approx(volumes)
    assert volumes[-1] > volumes[0]


def test_the_tracker_leaves_the_runs_for_the_links_of_a_report(search: Search) -> None:
    found = read_tracked_runs(search.run_dir)
    assert found.uri == search.uri
    assert found.experiment_id == search.experiment_id
    assert found.runs == {trial: run.info.run_id for trial, run in search.runs.items()}


def test_the_runs_of_the_front_are_tagged_for_their_view(search: Search) -> None:
    front = front_of(searched().aims, search.state)
    tagged = {t for t, run in search.runs.items() if run.data.tags.get("saat.on_front") == "yes"}
    assert tagged == {record.spec.trial_id for record in front}
    note = search.runs["search"].data.tags["mlflow.note.content"]
    assert f"[front]({runs_page(search.experiment_id, FRONT, charts=True)})" in note


@pytest.mark.slow
def test_a_report_waits_for_the_tracker_and_not_for_a_server_that_is_down(
    search: Search, tmp_path: Path
) -> None:
    for uri, delivered in (
        (f"sqlite:///{tmp_path / 'mlflow.db'}", True),
        ("http://127.0.0.1:9", False),
    ):
        run_dir = tmp_path / str(delivered)
        shutil.copytree(search.run_dir, run_dir)
        (run_dir / "tracked.json").unlink()
        (run_dir / TRACKED_RUNS).unlink()
        tracker = Tracker(MlflowRuns(uri, run_dir, searched(), TAGS))
        tracker.start(search.events)
        began = time.monotonic()
        tracker.catch_up(timeout=200)
        assert time.monotonic() - began < 190
        assert bool(read_tracked_runs(run_dir).runs) == delivered
        tracker.close(timeout=5)


def test_a_tested_model_is_loaded_by_mlflow_without_pickle_and_logged_once(search: Search) -> None:
    client, trial_id = search.client, search.tested.spec.trial_id
    (search.run_dir / "tracked.json").unlink()
    search.deliver()  # once more
    (model,) = client.search_logged_models([search.experiment_id])
    assert model.source_run_id == search.runs[trial_id].info.run_id
    assert {metric.key for metric in model.metrics or ()} == {"clean_map", "robust_map"}
    mlflow.set_tracking_uri(search.uri)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".pkl", ".pth", ".pt", ".bin"))]
    loaded = mlflow.pyfunc.load_model(str(folder))
    network = loaded.get_raw_model()
    expected = saat.load(search.weights)
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        features = expected(torch.from_numpy(images)).numpy()
        assert np.isfinite(features).all()
        assert np.array_equal(network(torch.from_numpy(images)).numpy(), features)
    assert np.array_equal(loaded.predict({"images": images}), features)
    again = mlflow_flavor.load_model(f"models:/{model.model_id}")
    with torch.inference_mode():
        assert np.array_equal(again(torch.from_numpy(images)).numpy(), features)
    assert model.tags["mlflow.note.content"] == mlflow_flavor.usage(model.model_id)
    assert loaded.predict(loaded.input_example).shape == (1, search.tested.config.model.bits)
    assert not search.runs[trial_id].data.tags.get("mlflow.loggedArtifacts")


def test_damaged_weights_hold_up_no_other_event(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracking.retries.FINAL_TRIES", 1)
    run_dir = tmp_path / NAME
    shutil.copytree(search.run_dir, run_dir)
    (run_dir / "tracked.json").unlink()
    weights = run_dir / search.weights.relative_to(search.run_dir)
    weights.write_bytes(weights.read_bytes()[:-9])
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = Tracker(MlflowRuns(uri, run_dir, searched(), TAGS))
    tracker.start(search.events)
    assert "did not accept 1 event" in tracker.close(timeout=200, patient=True)


def test_the_logged_page_needs_no_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "frontier.png").write_bytes(b"picture")
    links = ("figures/frontier.png", "figures/frontier.pdf", "tables/absent.csv")
    written = " ".join(f'<a href="{link}" aria-label="x">it</a>' for link in links)
    run = '<a class="run" href="http://127.0.0.1:5000/#/x">of a run</a>'
    page = f'<p>{written}<a href="#x">x</a>{run}'
    logged = self_contained(page, tmp_path)
    assert 'href="data:image/png;base64,cGljdHVyZQ=="' in logged
    assert set(re.findall(r'href="([a-z#]+)', logged)) == {"data", "#x"}
    assert logged.count(">it<") == 3
    assert logged.endswith("</a>of a run"), "MLflow's frame opens no page of MLflow"
