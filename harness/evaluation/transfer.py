"""``saat transfer``: images made on one model, measured on every other.

A defense that only hides its gradients is as weak as any other against images that were made
elsewhere, so the whole matrix belongs beside every table of white-box numbers.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from harness.evaluation.verify import stored_images, stored_victim
from harness.experiment.file import load_stored
from reports.confirmed import ConfirmedConfig, confirmed_configs
from reports.figures.matrix import matrix_chart
from reports.figures.static import STATIC_STYLE, draw
from reports.matrix import MatrixCell, MatrixData, matrix_table
from reports.results import load_search
from reports.run_folder import trial_folder
from reports.statistics import seed_query_interval
from reports.table_formats import write_table
from reports.trial_arrays import attacks_with_images
from saat.errors import InputError, did_you_mean, one_line
from saat.victim import Victim

OTHER_SEED = "same setting, other seed"


def transfer(
    run_dir: Path,
    attack: str,
    out_dir: Path,
    cache_dir: str | None,
    say: Callable[[str], None],
    allow: Sequence[Path] = (),
) -> Path:
    """Write ``transfer.{csv,md,tex,png,pdf}``: rows are victims, columns where images come from.

    A cell compares models of the same training seed and averages over seeds; the diagonal is the
    white box. The column "same setting, other seed" is the black box of an attacker who trains
    the same defense again.

    Raises:
        InputError: no trial of the run kept images of the attack.
    """
    results = load_search(run_dir)
    load_stored(run_dir / "experiment.yaml")  # refuses values that must not be shown
    stored = {config.label: config for config in confirmed_configs(results)}
    attacks = {label: _attacks(run_dir, config) for label, config in stored.items()}
    configs = [config for label, config in stored.items() if attack in attacks[label]]
    if not configs:
        known = list(dict.fromkeys(name for names in attacks.values() for name in names))
        if not known:
            raise InputError(f"{run_dir}: no trial kept images of an untargeted attack")
        raise InputError(
            f"--attack {one_line(attack, 60)}: {run_dir.name} has no images of it; one of "
            f"{', '.join(known)}{did_you_mean(attack, known)}"
        )
    labels = tuple(config.label for config in configs)
    columns = ("clean", *labels, OTHER_SEED)
    cells = []
    for config in configs:
        say(f"transfer to {config.label}")
        found = _row(run_dir, config, configs, attack, cache_dir, allow)
        cells.append(tuple(_cell(found[column]) for column in columns))
    data = MatrixData(
        title=f"MAP of transferred {attack} images",
        rows=labels,
        columns=columns,
        headers=columns,
        cells=tuple(cells),
        seeds=tuple(len(s.trials) for s in configs),
        chance=float("nan"),
    )
    write_table(matrix_table(configs, data, "transfer"), out_dir)
    with matplotlib.rc_context(STATIC_STYLE):
        figure = draw(matrix_chart(data))
        figure.savefig(out_dir / "transfer.png")
        figure.savefig(out_dir / "transfer.pdf", metadata={"CreationDate": None})
    return out_dir / "transfer.md"


def _cell(found: Sequence[NDArray[np.float64]]) -> MatrixCell:
    ap = np.stack(found) if found else np.empty((0, 0))
    return MatrixCell(*seed_query_interval(ap), len(ap))


def _row(
    run_dir: Path,
    victim_config: ConfirmedConfig,
    sources: Sequence[ConfirmedConfig],
    attack: str,
    cache_dir: str | None,
    allow: Sequence[Path],
) -> defaultdict[str, list[NDArray[np.float64]]]:
    """AP (queries,) per seed of one victim setting, by where the images come from."""
    out: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)
    own = _trials(victim_config)
    for seed, trial_id in own.items():
        victim = stored_victim(trial_folder(run_dir, trial_id), cache_dir, allow)
        out["clean"].append(victim.clean_ap.numpy())
        for source in sources:
            if made := _trials(source).get(seed):
                out[source.label].append(_ap(victim, run_dir, made, attack))
        others = [trial for other, trial in own.items() if other != seed]
        if others:
            found = [_ap(victim, run_dir, other, attack) for other in others]
            out[OTHER_SEED].append(np.mean(found, axis=0))
    return out


def _ap(victim: Victim, run_dir: Path, trial_id: str, attack: str) -> NDArray[np.float64]:
    images = stored_images(trial_folder(run_dir, trial_id))
    if images[attack].shape != victim.images.shape:
        raise InputError(f"{run_dir}: {trial_id} was attacked on images of another size")
    if not np.array_equal(images["rows"].numpy(), victim.rows):
        raise InputError(f"{run_dir}: {trial_id} was attacked on other queries")
    return np.asarray(victim.ap(victim.codes(images[attack])))


def _trials(config: ConfirmedConfig) -> dict[int, str]:
    """Trial ids by seed."""
    frame = config.trials
    return {int(s): str(t) for s, t in zip(frame["seed"], frame["trial_id"], strict=True)}


def _attacks(run_dir: Path, config: ConfirmedConfig) -> list[str]:
    """Untargeted attacks of which all of the setting's trials kept images."""
    files = [trial_folder(run_dir, t) / "adversarial.npz" for t in _trials(config).values()]
    if not all(file.is_file() for file in files):
        return []
    first, *others = map(attacks_with_images, files)
    return [name for name in first if all(name in found for found in others)]
