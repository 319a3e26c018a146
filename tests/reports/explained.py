"""What a search's model and the gates leave in a run's folder, with simple numbers."""

from pathlib import Path

import numpy as np
import pandas as pd

from reports.explanation import (
    AblationPath,
    Dependence,
    Estimate,
    Explanation,
    PathStep,
    Value,
    write_explanation,
)

WEIGHTS = [0.1, 1.0, 10.0]
RADII, STEPS = (0.0, 2 / 255, 8 / 255, 32 / 255), (1, 10, 30)
GATE_QUERIES = 20


def step(clean: float, robust: float, measured: bool, **changed: tuple[Value, Value]) -> PathStep:
    """A step that the model predicts one point too high; ``lambda_`` stands for its key."""
    predicted = {"clean_map": Estimate(clean + 0.01, 0.02), "robust_map": Estimate(robust, 0.01)}
    names = {"lambda_": "defense.lambda", "eps": "defense.eps", "bits": "model.bits"}
    return PathStep(
        {names[key]: values for key, values in changed.items()},
        predicted,
        {"clean_map": clean, "robust_map": robust} if measured else {},
    )


def path_to(config_hash: str, left_out: tuple[str, ...] = ()) -> AblationPath:
    """A path of two changes, the setting between them only predicted."""
    steps = (
        step(0.80, 0.40, True),
        step(0.76, 0.50, False, lambda_=(1.0, 2.314)),
        step(0.74, 0.52, True, eps=(8 / 255, 12 / 255)),
    )
    return AblationPath(config_hash, steps, left_out)


def explanation(*paths: AblationPath) -> Explanation:
    """Dependence on λ, steeper for robust MAP, and on the code length."""
    dependence = []
    for metric, slope in (("clean_map", -0.1), ("robust_map", 0.2)):
        rising = [Estimate(0.5 + slope * float(np.log10(w)), 0.01) for w in WEIGHTS]
        dependence.append(Dependence("defense.lambda", metric, WEIGHTS, rising, 7))
        lengths = [Estimate(0.60, 0.02), Estimate(0.61, 0.01)]
        dependence.append(Dependence("model.bits", metric, [16, 32], lengths, 7))
    return Explanation(("a trial",), dependence, paths)


def explain(run: Path, *paths: AblationPath) -> Path:
    """Write the explanation of a run of :func:`tests.reports.synthetic.write_run`."""
    found = paths or (path_to("recommended16".ljust(64, "0")),)
    write_explanation(run, explanation(*found))
    return run


def strengthen(run: Path) -> Path:
    """Give all tested trials of a run what its gates measured at other strengths."""
    for number, folder in enumerate(sorted((run / "trials").iterdir())):
        base = pd.read_parquet(folder / "per_query.parquet").groupby("attack")["ap"].mean()
        rows = [
            {"along": along, "strength": float(strength), "query": query, "ap": ap}
            for along, strengths in (("eps", RADII), ("steps", STEPS))
            for place, strength in enumerate(strengths)
            # Every trial has queries of its own.
            for query in range(number % 7, number % 7 + GATE_QUERIES)
            for ap in [max(0.0, base["clean"] - 0.1 * place - 0.002 * (query - number % 7))]
        ]
        pd.DataFrame(rows).to_parquet(folder / "strength.parquet", index=False)
    return run
