"""Whether a module may be replaced by what computes the same, or has to be called."""

from typing import TypeGuard, TypeVar

from torch import nn

Kind = TypeVar("Kind", bound=nn.Module)


def is_plain(module: nn.Module, *kinds: type[Kind]) -> TypeGuard[Kind]:
    """Whether a module is exactly of one of the kinds, with nothing added that only a call runs.

    Added is what the tools of the ecosystem add: a subclass (torch parametrises a module by giving
    it one), hooks (pruning's too), and a ``forward`` of the object's own. Hooks on all modules at
    once don't count: profilers set them, and observing a network should not change what it keeps.
    """
    hooks = [module._forward_pre_hooks, module._forward_hooks]
    hooks += [module._backward_pre_hooks, module._backward_hooks]
    return type(module) in kinds and not any(hooks) and "forward" not in vars(module)
