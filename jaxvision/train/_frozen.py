"""BatchNorm layers whose parameters are frozen."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn

from jaxvision._trees import by_path

PyTree = Any


@contextlib.contextmanager
def frozen_batch_norms(frozen: PyTree) -> Iterator[None]:
    """Keeps a BatchNorm in inference mode if all its parameters are in `frozen`.

    It then normalizes by its running statistics, and does not update them, so that later layers get
    the features that they were trained on. Every model applied inside the `with` block is affected.
    """
    paths = {*by_path(frozen)}

    def is_frozen(module: nn.BatchNorm) -> bool:
        has = {"scale": module.use_scale, "bias": module.use_bias}
        leaves = {"/".join((*module.path, leaf)) for leaf, present in has.items() if present}
        return bool(leaves) and leaves <= paths

    def call(
        method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
    ) -> Any:
        module = context.module
        if not isinstance(module, nn.BatchNorm) or not is_frozen(module):
            return method(*args, **kwargs)
        if module.use_running_average is None:  # it is an argument of the call
            return method(*args[:1], **{**kwargs, "use_running_average": True})
        # Modules are immutable, but this one exists only for this call.
        object.__setattr__(module, "use_running_average", True)
        return method(*args, **kwargs)

    if not paths:
        yield
        return
    with nn.intercept_methods(call):
        yield
