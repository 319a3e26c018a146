"""The sampler ``ehvi``: expected hypervolume improvement for few costly trials.

It handles two or three objectives, learns from running and pruned trials too, and knows nothing of
the harness: see ``docs/ehvi.md`` for a plain Optuna study.
"""

from harness.search.samplers.context import Guess, SearchedObjective
from harness.search.samplers.ehvi.sampler import EhviSampler
from harness.search.samplers.trial_attributes import report_epoch
from saat.feasibility import Preference

__all__ = ["EhviSampler", "Guess", "Preference", "SearchedObjective", "report_epoch"]
