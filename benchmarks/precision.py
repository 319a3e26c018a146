"""What bfloat16 does to a training, and to the strength of an attack.

``python -m benchmarks.precision`` trains SAAT on the digits in fp32 and in bf16, once per seed, and
attacks every model in both. ``--seeds 1 --epochs 1 --pretrain-epochs 1`` is a quick try.
"""

import argparse
import sys
import time
from statistics import mean

import torch

from saat.attacks import MainstayAttack
from saat.data import RetrievalData
from saat.precision import Precision
from saat.protocol import Protocol, evaluate
from saat.stages import train

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def measured(
    network: torch.nn.Module, data: RetrievalData, given: argparse.Namespace, precision: Precision
) -> tuple[float, float]:
    """Clean MAP and MAP under the mainstay attack, both computed in a precision."""
    protocol = Protocol(
        {"mainstay": MainstayAttack(steps=given.steps)}, top_k=1000, precision=precision
    )
    found = evaluate(network, data, protocol, limit=given.queries).metrics()
    return found["clean_map"], found["map.mainstay"]


def main(arguments: list[str] | None = None) -> None:
    """Print a row per model, then the means."""
    parser = argparse.ArgumentParser("python -m benchmarks.precision", description=__doc__)
    for name, default in (
        ("seeds", 3), ("epochs", 8), ("pretrain-epochs", 20), ("steps", 100), ("queries", 300),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    torch.set_num_threads(1)
    data = RetrievalData.named("digits")
    print(f"torch {torch.__version__}, one thread; MAP@1000 in %, mainstay T={given.steps}")
    print("training  seed   CPU s    clean   robust | attack in bf16: clean   robust")
    rows: dict[Precision, list[list[float]]] = {name: [] for name in PRECISIONS}
    for seed in range(given.seeds):
        for name in PRECISIONS:
            began = time.process_time()
            network = train(
                data,
                epochs=given.epochs,
                pretrain_epochs=given.pretrain_epochs,
                options={"step_size": "auto"},
                pretrain_options={"lr": 0.3},
                seed=seed,
                precision=name,
            )
            seconds = time.process_time() - began
            own = [100 * value for p in PRECISIONS for value in measured(network, data, given, p)]
            rows[name].append([seconds, *own])
            print(_row(name, str(seed), rows[name][-1]), flush=True)
    for name, found in rows.items():
        print(_row(name, "mean", [mean(column) for column in zip(*found, strict=True)]))


def _row(name: str, seed: str, values: list[float]) -> str:
    seconds, clean, robust, rough_clean, rough_robust = values
    return (
        f"{name:8} {seed:>5} {seconds:7.0f} {clean:8.2f} {robust:8.2f} | "
        f"{rough_clean:21.2f} {rough_robust:8.2f}"
    )


if __name__ == "__main__":
    main()
