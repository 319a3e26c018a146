"""Commands on models, files, lists and machines; thin, each hands over to one function."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.common import (
    RUNS,
    Allow,
    CacheDir,
    DataRoot,
    Json,
    Output,
    Overrides,
    RunName,
    RunsDir,
    app,
    examples,
    existing_run,
    load,
    option,
    path_argument,
    path_option,
    say,
    with_options,
)
from harness.files import check_output
from harness.interrupts import importing
from harness.limits import LARGEST, MOST_STEPS
from harness.options import Options
from harness.redaction import message_line
from harness.search_stopped import SearchStopped
from harness.session.listing import LISTS, entries, listing
from saat.errors import InputError
from saat.precision import PRECISIONS
from saat.wording import counted

_OF_PROTOCOL = "that of the model's protocol"


@app.command(
    epilog=examples(
        "saat evaluate runs/first/trials/ID --attack hag --steps 100",
        "saat evaluate runs/first/trials/ID --battery core --eps 8/255",
        "saat evaluate --factory my_package:my_network --experiment quickstart.yaml",
    )
)
def evaluate(
    checkpoint: Annotated[
        Path | None,
        path_argument(
            "CHECKPOINT", "Attack the model of this trial's folder or model.safetensors."
        ),
    ] = None,
    factory: Annotated[
        str | None,
        option("Attack the network that this function of yours makes.", metavar="PKG:FN"),
    ] = None,
    weights: Annotated[
        Path | None, path_option("Hand this file to the factory.", metavar="FILE")
    ] = None,
    experiment: Annotated[
        Path | None,
        path_option("Take data and protocol from this experiment file.", metavar="FILE"),
    ] = None,
    label_map: Annotated[
        Path | None,
        path_option("Map the classes of that data to those of the model.", metavar="FILE"),
    ] = None,
    attack: Annotated[
        list[str] | None,
        option(
            "Run this attack.",
            "those of the model's protocol",
            autocompletion=completion.catalogued("attacks"),
        ),
    ] = None,
    steps: Annotated[
        int | None,
        option("Iterate every attack this many times.", _OF_PROTOCOL, min=1, max=MOST_STEPS),
    ] = None,
    eps: Annotated[
        str | None, option("Attack within a ball of this radius, for example 8/255.", _OF_PROTOCOL)
    ] = None,
    precision: Annotated[
        str | None,
        option(
            "Measure in this precision: fp32, tf32 or bf16.",
            _OF_PROTOCOL,
            autocompletion=completion.words(*PRECISIONS),
        ),
    ] = None,
    battery: Annotated[
        str,
        option(
            "Run the attacks and gates of this battery: none, core, full or exhaustive.",
            autocompletion=completion.catalogued("batteries"),
        ),
    ] = "none",
    transfer_from: Annotated[
        list[Path] | None,
        path_option("Try attacked images of this other model in the battery.", metavar="MODEL"),
    ] = None,
    queries: Annotated[
        str,
        option(
            "Attack these queries: test or validation.",
            autocompletion=completion.words("test", "validation"),
        ),
    ] = "test",
    seed: Annotated[int, option("Derive random starts from this seed.", min=0, max=LARGEST)] = 0,
    output: Output = None,
    cache_dir: CacheDir = None,
    device: Annotated[
        str,
        option("Run on this device: cpu or cuda.", autocompletion=completion.words("cpu", "cuda")),
    ] = "cpu",
    data_path: Annotated[
        Path | None, path_option("Look for the model's own data in this folder.")
    ] = None,
    data_root: DataRoot = None,
    allow: Allow = None,
) -> None:
    """Attack a trained model again, or a network of your own."""
    with importing():
        from harness.evaluation.models import factory_subject, moved_subject, trained_subject
        from harness.evaluation.reevaluate import Request, reevaluate

    others = transfer_from or []
    request = Request(
        attack or [], steps, eps, queries, seed, output, device, battery, others, precision
    )
    request.check()
    if (checkpoint is None) == (factory is None):
        raise InputError("evaluate: give a CHECKPOINT or --factory pkg:fn, one of the two")
    if label_map is not None and (checkpoint is None or experiment is None):
        raise InputError(f"--label-map {label_map}: belongs to a CHECKPOINT on --experiment's data")
    if checkpoint is None or experiment is not None:
        for key, folder in (("path", data_path), ("root", data_root)):
            if folder is not None:
                raise InputError(
                    f"--data-{key} {folder}: belongs to a CHECKPOINT on its own data; an "
                    f"experiment file names its own, data.{key}"
                )
        if allow:
            raise InputError(f"--allow {allow[0]}: belongs to a CHECKPOINT on its own data")
    if checkpoint is None:
        if experiment is None:
            raise InputError(f"--factory {factory}: give --experiment FILE for data and protocol")
        subject = factory_subject(str(factory), weights, experiment, cache_dir)
    elif weights is not None:
        raise InputError(f"--weights {weights}: belongs to --factory")
    elif experiment is not None:
        subject, sentence = moved_subject(checkpoint, experiment, label_map, cache_dir)
        say(sentence)
    else:
        subject = trained_subject(checkpoint, cache_dir, data_path, data_root, allow or ())
    print(reevaluate(subject, request, say))


@app.command(epilog=examples("saat verify first"))
@with_options("runs_dir", "cache_dir", "allow")
def verify(name: RunName, options: Options) -> None:
    """Recompute a run's reported numbers from its stored images."""
    with importing():
        from harness.evaluation.verify import verify as recompute

    run_dir = existing_run(options.runs_dir, name)
    found = recompute(run_dir, options.cache_dir, say, options.allow)
    print(found.text())
    if found.wrong:
        wrong = counted(len(found.wrong), "number is", "numbers are")
        raise SearchStopped(f"{name}: {wrong} not what the images give")


@app.command(
    epilog=examples("saat transfer first", "saat transfer first --attack hag -o transferred")
)
@with_options("runs_dir", "cache_dir", "allow")
def transfer(
    name: RunName,
    options: Options,
    attack: Annotated[
        str,
        option("Use the stored images of this attack.", autocompletion=completion.stored_attacks),
    ] = "mainstay",
    output: Output = None,
) -> None:
    """Measure images made on each model of a run on all the others."""
    with importing():
        from harness.evaluation.transfer import transfer as measure

    if output is not None:
        check_output(output, ["transfer.csv"])
    run_dir = existing_run(options.runs_dir, name)
    out_dir = output or run_dir / "transfer"
    print(measure(run_dir, attack, out_dir, options.cache_dir, say, options.allow))


@app.command(
    epilog=examples(
        "saat validate search_spaces/quickstart.yaml",
        "saat validate first.yaml second.yaml --set seed=1",
    )
)
def validate(
    files: Annotated[list[Path], path_argument("FILE", "Check these experiments.")],
    set_: Overrides = None,
) -> None:
    """Check experiment files, and print a line for everything that is wrong with them."""
    faults: list[str] = []
    for file in files:
        try:
            experiment = load(file, set_)
        except InputError as error:
            faults += error.faults
        else:
            searched = counted(len(experiment.space), "searched key")
            print(f"{file}: valid ({experiment.name}, {searched})")
    for fault in faults:
        say(f"saat: {message_line(fault)}")
    if faults:
        raise typer.Exit(2)


@app.command(
    epilog=examples(
        "saat preflight", "saat preflight search_spaces/saat_lambda_mu.yaml --address auto"
    )
)
@with_options("address", "autoscaling", "runs_dir", "tracking_uri", "cache_dir")
def preflight(
    options: Options,
    experiment: Annotated[
        Path | None, path_argument("EXPERIMENT.yaml", "Check what this experiment needs.")
    ] = None,
    set_: Overrides = None,
    timeout: Annotated[
        float, option("Wait this many seconds for a node to answer.", min=1, max=86_400)
    ] = 60,
    as_json: Json = False,
) -> None:
    """Check that every node of a cluster, or this machine, has all that a search needs."""
    with importing():
        from harness.preflight.command import preflight as check

    if experiment is None and set_:
        raise InputError(f"--set {set_[0].partition('=')[0]}: belongs to an EXPERIMENT.yaml")
    loaded = None if experiment is None else load(experiment, set_)
    options = replace(options, executor="ray" if options.address else "inline")
    found = check(loaded, options, timeout)
    print(json.dumps(found.content(), indent=1) if as_json else found.text())
    for line in found.failures:
        say(f"saat: {line}")
    if found.failures:
        raise typer.Exit(1)


@app.command(
    "list",
    epilog=examples(
        "saat list attacks", "saat list searches --runs-dir runs", "saat list datasets --json"
    ),
)
def list_(
    what: Annotated[
        str,
        typer.Argument(autocompletion=lambda: list(LISTS), help=f"List one of {', '.join(LISTS)}."),
    ],
    runs_dir: RunsDir = RUNS,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """List the data sets, backbones, attacks and the rest that there are to choose from."""
    if as_json:
        found, problems = entries(what, runs_dir, data_root)
        named = [{"name": name, "description": text} for name, text in found.items()]
        print(json.dumps({"list": what, "entries": named, "problems": problems}, indent=1))
    else:
        lines, problems = listing(what, runs_dir, data_root)
        if lines:
            print(lines)
    if problems:
        raise InputError(problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))
