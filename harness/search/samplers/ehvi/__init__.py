"""The sampler ``ehvi``: expected hypervolume improvement for two objectives and few costly trials.

It learns from running and pruned trials too, and knows nothing of the harness: see
``docs/ehvi.md`` for a plain Optuna study.
"""

from harness.search.samplers.ehvi.sampler import EhviSampler
from harness.search.samplers.trial_attributes import report_epoch

__all__ = ["EhviSampler", "report_epoch"]
