"""Networks of agents: a torso that extracts features, and heads for policies and values."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.checks import check_count
from jaxvision.models import layers, register_module
from jaxvision.ops import conv_in_loops
from jaxvision.rl.spaces import Discrete, Space


@register_module
class MLP(nn.Module):
    """Fully connected layers on flattened observations.

    Attributes:
        sizes: Sizes of the layers.
        activation: Nonlinearity after each layer; see `models.layers.activation`.
        layer_norm: Whether to normalize before each activation.

    >>> seen = jax.ShapeDtypeStruct((2, 4), jnp.float32)
    >>> jax.eval_shape(MLP((32,)).init_with_output, jax.random.key(0), seen)[0].shape
    (2, 32)
    """

    sizes: Sequence[int] = (64, 64)
    activation: str = "tanh"
    layer_norm: bool = False

    def __post_init__(self) -> None:
        layers.activation(self.activation)
        for size in self.sizes:
            check_count("the size of a layer", size, of="units")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "batch *shape"]) -> Float[Array, "batch features"]:
        """Gives the features."""
        x = x.reshape(x.shape[0], -1)
        for size in self.sizes:
            x = nn.Dense(size, kernel_init=nn.initializers.orthogonal(2**0.5))(x)
            x = layers.activation(self.activation)(nn.LayerNorm()(x) if self.layer_norm else x)
        return x


@register_module
class ConvTorso(nn.Module):
    """Convolutions and a hidden layer on images; the default is the network of DQN.

    Images are zero-padded just enough that the kernels cover every pixel: not at all at 84 by 84.
    At 40 by 40 no kernel would otherwise cover the last columns, which in Pong contain the player's
    paddle.

    Attributes:
        layers: Channels, kernel size and stride of each convolution.
        hidden_size: Size of the last layer.
        layer_norm: Whether to normalize before each activation.

    Reference: Mnih et al., Human-level control through deep reinforcement learning, Nature 518,
    2015.

    >>> torso = ConvTorso(((16, 8, 4), (32, 4, 2)), 128)
    >>> seen = jax.ShapeDtypeStruct((2, 40, 40, 4), jnp.float32)
    >>> jax.eval_shape(torso.init_with_output, jax.random.key(0), seen)[0].shape
    (2, 128)
    """

    layers: Sequence[tuple[int, int, int]] = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
    hidden_size: int = 512
    layer_norm: bool = False

    def __post_init__(self) -> None:
        for layer in self.layers:
            if len(layer) != 3:
                raise ValueError(f"a layer is channels, kernel size and stride, got {layer}")
            for name, value in zip(("channels", "kernel size", "stride"), layer, strict=True):
                check_count(f"{name} of a layer", value)
        check_count("hidden_size", self.hidden_size, of="units")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """Gives the features."""
        init = nn.initializers.orthogonal(2**0.5)
        for channels, size, stride in self.layers:
            if min(x.shape[1:3]) < size:
                raise ValueError(
                    f"a convolution of {size} by {size} cannot fit into {x.shape[1]} by "
                    f"{x.shape[2]} pixels; give the torso smaller layers, or larger frames"
                )
            x = nn.Conv(
                channels,
                (size, size),
                (stride, stride),
                [_until_seen(length, size, stride) for length in x.shape[1:3]],
                kernel_init=init,
                conv_general_dilated=conv_in_loops,
            )(x)
            x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        x = nn.Dense(self.hidden_size, kernel_init=init)(x.reshape(x.shape[0], -1))
        return nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)


@register_module
class QNetwork(nn.Module):
    """Predicts the values of all actions.

    Attributes:
        space: Space of the observations.
        num_actions: Number of actions.
        torso: Network that extracts features.
        outputs: Numbers per action: 1, or more for a distribution (`head.outputs`).
        dueling: Whether separate heads predict the state's value and the actions' advantages.

    Reference: Wang et al., Dueling network architectures for deep reinforcement learning, ICML
    2016, arXiv:1511.06581.

    >>> network = QNetwork(Discrete(16), 4, MLP((32,)), dueling=True)
    >>> cells = jnp.array([3, 7])
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), cells)[0].shape
    (2, 4, 1)
    """

    space: Space
    num_actions: int
    torso: nn.Module
    outputs: int = 1
    dueling: bool = False

    supplied: ClassVar[tuple[str, ...]] = ("space",)
    """The space comes from the environments; see `models.register_module`."""

    @nn.compact
    def __call__(self, observations: Array) -> Float[Array, "batch actions outputs"]:
        """Gives the outputs of every action."""
        features = self.torso(encode(observations, self.space))
        advantages = nn.Dense(self.num_actions * self.outputs)(features)
        advantages = advantages.reshape(-1, self.num_actions, self.outputs)
        if not self.dueling:
            return advantages
        values = nn.Dense(self.outputs)(features)[:, None, :]
        return values + advantages - advantages.mean(axis=1, keepdims=True)


@register_module
class ActorCritic(nn.Module):
    """Predicts a policy, and the values of states under it.

    Attributes:
        space: Space of the observations.
        num_actions: Number of actions.
        actor: Torso of the policy.
        critic: Torso of the values; None shares the actor's.

    >>> network = ActorCritic(Discrete(16), 4, MLP(), MLP())
    >>> cells = jnp.array([3, 7])
    >>> given, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), cells)
    >>> logits, values = given
    >>> logits.shape, values.shape
    ((2, 4), (2,))
    """

    space: Space
    num_actions: int
    actor: nn.Module
    critic: nn.Module | None = None

    supplied: ClassVar[tuple[str, ...]] = ("space",)
    """The space comes from the environments; see `models.register_module`."""

    def setup(self) -> None:
        """Makes the heads."""
        init = nn.initializers.orthogonal
        self.policy_head = nn.Dense(self.num_actions, kernel_init=init(0.01))
        self.value_head = nn.Dense(1, kernel_init=init(1.0))

    def __call__(
        self, observations: Array
    ) -> tuple[Float[Array, "batch actions"], Float[Array, "batch"]]:
        """Gives the logits of the policy, and the values."""
        x = encode(observations, self.space)
        features = self.actor(x)
        seen = features if self.critic is None else self.critic(x)
        return self.policy_head(features), self.value_head(seen)[:, 0]

    def policy(self, observations: Array) -> Float[Array, "batch actions"]:
        """Gives the logits of the policy alone."""
        return self.policy_head(self.actor(encode(observations, self.space)))

    def values(self, observations: Array) -> Float[Array, "batch"]:
        """Gives the values alone."""
        torso = self.actor if self.critic is None else self.critic
        return self.value_head(torso(encode(observations, self.space)))[:, 0]


def _until_seen(length: int, size: int, stride: int) -> tuple[int, int]:
    """Padding before and after an axis, so that the last step of the kernel ends at the edge."""
    missing = -(length - size) % stride
    return missing // 2, missing - missing // 2


def encode(observations: Array, space: Space) -> Float[Array, "batch *shape"]:
    """Encodes observations: cells one-hot, bytes scaled to [0, 1], other numbers unchanged.

    >>> print(encode(jnp.array([2]), Discrete(3)))
    [[0. 0. 1.]]
    """
    if isinstance(space, Discrete):
        return jax.nn.one_hot(observations, space.n)
    if observations.dtype == jnp.uint8:
        return observations.astype(jnp.float32) / 255
    return observations.astype(jnp.result_type(observations, jnp.float32))


def make_torso(
    space: Space,
    *,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "tanh",
    conv_layers: Sequence[tuple[int, int, int]] | None = None,
    conv_hidden_size: int = 512,
    layer_norm: bool = False,
) -> nn.Module:
    """Makes a torso for a space: `ConvTorso` for images of at least 36 pixels a side, else `MLP`.

    Args:
        space: Space of the observations.
        hidden_sizes: Sizes of the layers of an `MLP`.
        activation: Nonlinearity of an `MLP`; see `models.layers.activation`.
        conv_layers: Channels, kernel size and stride of each convolution. None takes those of DQN
            for images of at least 36 pixels a side, and makes an `MLP` for all other observations.
        conv_hidden_size: Size of the hidden layer after the convolutions.
        layer_norm: Whether to normalize before each activation.

    Raises:
        ValueError: `conv_layers` are given, but observations are not images.

    >>> make_torso(Discrete(16), hidden_sizes=(32,)).sizes
    (32,)
    """
    is_image = len(space.shape) == 3
    if conv_layers and not is_image:
        raise ValueError(f"conv_layers need images, and observations have the shape {space.shape}")
    if conv_layers is None and is_image and min(space.shape[:2]) >= 36:
        conv_layers = ConvTorso.layers
    if conv_layers:
        return ConvTorso(tuple(conv_layers), conv_hidden_size, layer_norm)
    return MLP(tuple(hidden_sizes), activation, layer_norm)
