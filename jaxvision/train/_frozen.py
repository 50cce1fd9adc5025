"""Layers whose parameters are frozen stay as they are in every respect."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn

from jaxvision._trees import by_path

PyTree = Any


@contextlib.contextmanager
def frozen_batch_norms(frozen: PyTree) -> Iterator[None]:
    """Keeps every BatchNorm in inference mode whose parameters are all frozen.

    It then normalizes by its running statistics, and these do not move: what lies above it sees the
    features that it was trained on, whatever the batch.

    Args:
        frozen: The frozen parameters, as `partition` gives them: None where a leaf is trained.

    Yields:
        Nothing; models that are applied meanwhile are concerned.
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
        if module.use_running_average is None:  # it is told when it is called
            return method(*args[:1], **{**kwargs, "use_running_average": True})
        # Modules are immutable, but this one was made for this call, and is thrown away after it.
        object.__setattr__(module, "use_running_average", True)
        return method(*args, **kwargs)

    if not paths:
        yield
        return
    with nn.intercept_methods(call):
        yield
