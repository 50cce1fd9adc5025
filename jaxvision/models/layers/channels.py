"""Reordering of channels."""

from jaxtyping import Array, Float


def channel_shuffle(
    x: Float[Array, "batch height width channels"], groups: int
) -> Float[Array, "batch height width channels"]:
    """Deals the channels of each group out to all groups, so that grouped convolutions mix them.

    Channel j of group i becomes channel i of group j: a transpose of (groups, channels / groups).

    Args:
        x: Feature maps.
        groups: Number of groups.

    Returns:
        The same channels in another order.

    Raises:
        ValueError: `groups` does not divide the number of channels.

    Reference: Zhang et al., ShuffleNet, CVPR 2018, arXiv:1707.01083, figure 1.

    >>> import jax.numpy as jnp
    >>> channel_shuffle(jnp.arange(6.0).reshape(1, 1, 1, 6), 2).ravel().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """
    *space, channels = x.shape
    if groups < 1 or channels % groups:
        raise ValueError(f"groups must divide the channels, here {channels}, got {groups}")
    grouped = x.reshape(*space, groups, channels // groups)
    return grouped.swapaxes(-1, -2).reshape(x.shape)
