"""torch's optimisers, without loading torch's compiler.

torch wraps the methods of its optimisers so that ``torch.compile`` leaves them alone, and the first
call of such a wrapper imports the whole compiler, which takes as long as importing torch. Nothing
here is compiled, so the methods are used as they are. The arithmetic is torch's.
"""

import inspect
from typing import Any

import torch


class _Uncompiled(torch.optim.Optimizer):
    """Optimizer's own methods, without their wrappers."""

    add_param_group: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict: Any = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict: Any = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad: Any = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Sgd(_Uncompiled, torch.optim.SGD):
    """Stochastic gradient descent: arguments and steps of :class:`torch.optim.SGD`."""

    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adam(_Uncompiled, torch.optim.Adam):
    """Adam: arguments and steps of :class:`torch.optim.Adam`."""

    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
