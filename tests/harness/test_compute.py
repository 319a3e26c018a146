"""Precision and compilation of a trial: what is refused, what is recorded, what a trial keeps."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from harness.__main__ import main
from harness.executors import footprint
from harness.executors.footprint import measure_footprint
from harness.experiment.file import load_stored
from harness.experiment.protocols import full_protocol, validation_protocol
from harness.experiment.sections import EvaluationSection
from harness.journal.protocol_identity import protocol_hash
from harness.journal.state import config_hash
from harness.options import Options
from harness.preflight.node import NodeRequest, report_node
from harness.preflight.shared_folder import shared_folder_check
from harness.session.checks import device_of_run
from harness.session.resume_checks import check_whole
from harness.trial.compute import check_compute, compute_facts, compute_of_trial
from harness.trial.interface import EpochReport, FinalReport, trial_folder
from harness.trial.pretrained import pretrained_key
from harness.trial.trial import run_trial
from reports.protocol import protocol_terms
from reports.results import load_search
from saat import protocol, tensor_file
from saat.compute import Compute
from saat.errors import InputError
from saat.models import HashingNetwork
from tests.harness.tiny import context_of, spec_of, tiny, tiny_raw
from tests.toy import raised

GPU = {"resources.gpus_per_trial": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources.precision": "fp16"}, "resources.precision: 'fp16': one of 'auto'"),
        ({"resources.compile": "jit"}, "resources.compile: 'jit': one of 'none'"),
        ({"evaluation.precision": "auto"}, "evaluation.precision: 'auto': one of 'fp32'"),
        ({"resources.precision": "tf32"}, "resources.precision: tf32: only GPUs have it"),
        ({"resources.compile": "graphs"}, "resources.compile: graphs: only GPUs have them"),
        ({"evaluation.precision": "tf32"}, "evaluation.precision: tf32: only GPUs have it"),
    ],
)
def test_what_no_device_of_the_file_has_is_refused_at_reading(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        tiny(changes)
    assert len(error.value.faults) == 1
    assert message in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"resources.precision": "bf16", "evaluation.precision": "bf16"},
        {"resources.compile": "inductor"},
        {**GPU, "resources.precision": "tf32", "evaluation.precision": "tf32"},
        {**GPU, "resources.compile": "graphs"},
        {"resources.gpus_per_trial": "auto", "resources.compile": "graphs"},
    ],
)
def test_what_a_device_of_the_file_has_is_read(changes: dict[str, Any]) -> None:
    tiny(changes)


def test_defaults_are_auto_for_training_and_fp32_for_numbers() -> None:
    experiment = tiny()
    assert (experiment.resources.precision, experiment.resources.compile) == ("auto", "none")
    evaluation = experiment.evaluation
    assert evaluation.precision == full_protocol(evaluation).precision == "fp32"


def old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without TF32 and bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources.precision": "tf32"}, "resources.precision: tf32: cuda has no TF32"),
        ({"resources.precision": "bf16"}, "resources.precision: bf16: cuda has no bfloat16"),
        ({"evaluation.precision": "tf32"}, "evaluation.precision: tf32: cuda has no TF32"),
        ({"resources.precision": "auto", "resources.compile": "graphs"}, ""),
    ],
)
def test_what_the_gpu_here_lacks_is_refused_before_any_work(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old_gpu(monkeypatch)
    experiment, options = tiny({**GPU, **changes}), Options(tmp_path, executor="inline")
    if not message:
        assert device_of_run(experiment, options) == "cuda"
        return
    with pytest.raises(InputError) as error:
        device_of_run(experiment, options)
    assert str(error.value).startswith(message)


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saat.compute.shutil.which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)


def test_a_machine_without_a_compiler_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    no_compiler(monkeypatch)
    raw = tiny_raw({"resources.compile": "inductor"})
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as end:
        main(["search", str(tmp_path / "x.yaml"), "--runs-dir", str(tmp_path), "--executor",
              "inline"])  # fmt: skip
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "resources.compile: inductor: no C++ compiler (g++, clang++, c++; CXX names" in said
    assert not (tmp_path / "tiny").exists()


def test_preflight_names_a_node_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_compiler(monkeypatch)
    experiment = tiny({"resources.compile": "inductor"})
    with shared_folder_check(tmp_path) as shared:
        sections = experiment.resources, experiment.evaluation
        request = NodeRequest(shared, None, None, sections)
        assert "no C++ compiler" in report_node(request, "node").problems["compute"]
        driver = report_node(replace(request, sections=None), "driver")
    assert "compute" not in driver.problems


def test_a_node_of_a_cluster_is_asked_by_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = tiny({"resources.compile": "inductor"})
    resources, evaluation = pickle.loads(
        pickle.dumps((experiment.resources, experiment.evaluation))
    )
    check_compute(resources, evaluation, "cpu")
    no_compiler(monkeypatch)
    assert "resources.compile: inductor" in raised(
        lambda: check_compute(resources, evaluation, "cpu"), InputError
    )


def reports_of(experiment: Any, folder: Path, **changes: Any) -> list[EpochReport | FinalReport]:
    context = replace(context_of(experiment, folder), **changes)
    return list(run_trial(spec_of(experiment), context))


def test_a_trial_trains_in_bf16_is_measured_in_fp32_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny({"resources.precision": "bf16"})
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    forward = HashingNetwork.forward

    def counting(self: HashingNetwork, images: torch.Tensor) -> torch.Tensor:
        hook = self.hash_layer.register_forward_hook(
            lambda layer, given, out: seen[measuring[0]].add(out.dtype)
        )
        with hook:
            return forward(self, images)

    measuring = [False]

    def measured(measure: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            measuring[0] = True
            try:
                return measure(*arguments, **more)
            finally:
                measuring[0] = False

        return run

    with monkeypatch.context() as patch:
        patch.setattr(HashingNetwork, "forward", counting)
        for measure in (protocol.evaluate, protocol.validate):
            patch.setattr(f"harness.trial.attempt.{measure.__name__}", measured(measure))
        reports = reports_of(experiment, tmp_path)
    assert seen == {True: {torch.float32}, False: {torch.bfloat16}}
    assert {(report.precision, report.compile) for report in reports} == {("bf16", "none")}
    context = context_of(experiment, tmp_path)
    folder = trial_folder(context, spec_of(experiment).trial_id)
    result = json.loads((folder / "result.json").read_text())
    assert (result["precision"], result["compile"]) == ("bf16", "none")
    _, meta = tensor_file.load(folder / "model.safetensors")
    assert meta["compute"] == {"precision": "bf16", "compile": "none"}
    assert meta["evaluation"]["precision"] == "fp32"


def test_a_model_is_evaluated_again_in_another_precision_which_its_numbers_name(
    tmp_path: Path, capsys: Any
) -> None:
    experiment = tiny()
    reports_of(experiment, tmp_path)
    context = context_of(experiment, tmp_path)
    model = trial_folder(context, spec_of(experiment).trial_id)
    written: dict[str, Any] = {}
    for precision, options in (("fp32", []), ("bf16", ["--precision", "bf16"])):
        folder = tmp_path / precision
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", str(model), "-o", str(folder), *options])
        assert not ended.value.code
        assert f", {precision}\n" in capsys.readouterr().out
        written[precision] = json.loads((folder / "metrics.json").read_text())
        assert written[precision]["protocol"]["precision"] == precision
    differing = {key for key in written["fp32"] if written["fp32"][key] != written["bf16"][key]}
    assert differing == {"protocol", "metrics"}
    hashes = {
        protocol_hash(
            experiment.model_copy(update={"evaluation": EvaluationSection(**found["protocol"])}),
            "d",
        )
        for found in written.values()
    }
    assert len(hashes) == 2


def test_auto_is_resolved_and_kept_in_the_trials_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(tiny(), tmp_path)
    assert compute_of_trial(tmp_path, context) == Compute("fp32", "none")
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    graphs = context.resources.model_copy(update={"compile": "graphs"})
    cuda = replace(context, device="cuda", resources=graphs)
    assert compute_of_trial(tmp_path / "other", cuda) == Compute("tf32", "graphs")
    # Begun in fp32, the trial stays in it on a GPU that has more.
    assert compute_of_trial(tmp_path, cuda) == Compute("fp32", "none")


def test_a_trial_that_began_on_another_gpu_is_refused_where_it_would_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = replace(context_of(tiny(), tmp_path), device="cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert compute_of_trial(tmp_path, context).precision == "tf32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    with pytest.raises(InputError, match="began with precision tf32, compile none, and keeps"):
        compute_of_trial(tmp_path, context)


@pytest.mark.lengthy
def test_a_resumed_trial_goes_on_in_the_precision_that_it_began_with(tmp_path: Path) -> None:
    bf16, fp32 = (tiny({"resources.precision": name}) for name in ("bf16", "fp32"))
    context = context_of(bf16, tmp_path)
    running = run_trial(spec_of(bf16), context)
    next(running)
    running.close()  # type: ignore[attr-defined]
    reports = reports_of(fp32, tmp_path)
    assert {report.precision for report in reports} == {"bf16"}
    whole = reports_of(bf16, tmp_path / "undisturbed")
    assert [report.metrics for report in reports] == [report.metrics for report in whole]


def test_precision_is_no_part_of_a_setting_but_of_pretrained_models_and_protocols() -> None:
    plain, rough = tiny(), tiny({"resources.precision": "bf16"})
    assert config_hash(plain.config, "d") == config_hash(rough.config, "d")
    assert protocol_hash(plain, "d") == protocol_hash(rough, "d")
    measured = tiny({"evaluation.precision": "bf16"})
    assert protocol_hash(plain, "d") != protocol_hash(measured, "d")
    assert full_protocol(measured.evaluation).precision == "bf16"
    short = validation_protocol(measured.validation, measured.evaluation, 100)
    assert short.precision == "bf16"
    keys = {pretrained_key(plain.config, "d", 0, p) for p in ("fp32", "tf32", "bf16")}
    assert len(keys) == 3
    assert pretrained_key(plain.config, "d", 0) in keys


def test_graphs_are_recorded_only_where_something_is_replayed() -> None:
    graphs = Compute("fp32", "graphs")
    assert graphs.used(None) == "none"
    assert Compute("fp32", "inductor").used(None) == "inductor"


@pytest.mark.lengthy
def test_provenance_and_report_say_it(tmp_path: Path) -> None:
    raw = tiny_raw({"resources.precision": "bf16", "search.num_samples": 1, "space": {}})
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as end:
        main(["train", str(tmp_path / "x.yaml"), "--runs-dir", str(tmp_path / "runs"),
              "--executor", "inline"])  # fmt: skip
    assert not end.value.code
    results = load_search(tmp_path / "runs" / "tiny")
    assert results.provenance["compute"] == {
        "precision": "bf16", "auto_here": "fp32", "compile": "none", "evaluation_precision": "fp32",
    }  # fmt: skip
    assert set(results.trials["precision"]) == {"bf16"}
    said = dict(protocol_terms(results))["Precision"]
    assert said.startswith("Clean and robust MAP are measured in fp32; trained in bf16 (1 trial).")


def test_facts_do_not_guess_the_gpu_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert compute_facts(tiny(GPU), "cuda")["auto_here"] is None


def test_old_files_without_the_keys_go_on_on_a_cpu_and_are_asked_on_a_gpu(tmp_path: Path) -> None:
    def stored(changes: dict[str, Any]) -> tuple[Any, Any]:
        dump = tiny(changes).dump()
        for section, key in (
            ("resources", "precision"), ("resources", "compile"), ("evaluation", "precision"),
        ):  # fmt: skip
            del dump[section][key]
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(dump))
        return load_stored(path)

    experiment, missing = stored({})
    assert missing == {}
    assert protocol_hash(experiment, "d") == protocol_hash(tiny(), "d")
    _, missing = stored(GPU)
    with pytest.raises(InputError, match=r"evaluation\.precision: missing"):
        check_whole(missing, tmp_path / "experiment.yaml")


def test_the_footprint_is_that_of_the_precision_and_of_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment, used = tiny({"resources.precision": "bf16"}), []
    flags: list[str] = []
    apply = Compute.apply

    def applied(self: Compute, training: Any) -> None:
        used.append(self)
        apply(self, training)

    monkeypatch.setattr(Compute, "apply", applied)
    monkeypatch.setattr(footprint, "evaluate", lambda *_: flags.append("evaluated"))

    class Memory(footprint.GpuMemory):
        def reset_peak(self) -> None:
            pass

        def peak(self) -> int:
            return 1

        def outside_torch(self) -> int:
            return 0

    monkeypatch.setattr(footprint, "GpuMemory", Memory)
    measure_footprint([experiment.config], experiment.evaluation, None, experiment.resources, "cpu")
    assert used == [Compute("bf16", "none")]
    assert flags == ["evaluated"]


def test_check_compute_passes_what_a_cpu_has() -> None:
    experiment = tiny({"resources.precision": "bf16", "resources.compile": "inductor"})
    check_compute(experiment.resources, experiment.evaluation, "cpu")
