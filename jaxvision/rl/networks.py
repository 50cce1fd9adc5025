"""Networks of agents: a torso that looks, and heads that say what to do or what it is worth."""

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
    """Hidden layers on flat observations.

    Attributes:
        sizes: Of the layers.
        activation: The nonlinearity after each; see `models.layers.activation`.
        layer_norm: Whether to normalize before that.

    >>> seen = jax.ShapeDtypeStruct((2, 4), jnp.float32)
    >>> jax.eval_shape(MLP((32,)).init_with_output, jax.random.key(0), seen)[0].shape
    (2, 32)
    """

    sizes: Sequence[int] = (64, 64)
    activation: str = "tanh"
    layer_norm: bool = False

    def __post_init__(self) -> None:
        """Checks what would learn nothing."""
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
    """Convolutions and a hidden layer on images; the default is that of DQN.

    Images are padded just so far that the kernels see every pixel: at 84 by 84 not at all, while at
    40 by 40 the last columns, with the player's paddle in them, would be seen by none.

    Attributes:
        layers: Channels, kernel size and stride of each convolution.
        hidden_size: Of the last layer.
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
        """Checks what would fail deep inside a program."""
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
                    f"a convolution of {size} by {size} finds only {x.shape[1]} by {x.shape[2]} "
                    "pixels; give the torso smaller layers, or larger frames"
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
    """Values of all actions.

    Attributes:
        space: Of observations.
        num_actions: How many actions there are.
        torso: What looks.
        outputs: Numbers for each action: 1, or those of a distribution.
        dueling: Whether the value of the state and the advantages of actions have heads apart.

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
    """The space is that of the environments; see `models.register_module`."""

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
    """A policy, and the value of states under it.

    Attributes:
        space: Of observations.
        num_actions: How many actions there are.
        actor: The torso of the policy.
        critic: That of the values; None shares the actor's.

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
    """The space is that of the environments; see `models.register_module`."""

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
    """Zeros before and after an axis, with which steps of a kernel come out even."""
    missing = -(length - size) % stride
    return missing // 2, missing - missing // 2


def encode(observations: Array, space: Space) -> Float[Array, "batch *shape"]:
    """What a network sees of observations.

    Args:
        observations: Of one space.
        space: That space.

    Returns:
        Cells one-hot, bytes from 0 to 1, other numbers as they are.

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
    """A torso that fits observations: `ConvTorso` for images of 36 pixels a side, else `MLP`.

    Args:
        space: Of observations.
        hidden_sizes: Of an `MLP`.
        activation: The nonlinearity of an `MLP`; see `models.layers.activation`.
        conv_layers: Channels, kernel and stride of each convolution; None takes those of DQN for
            images of 36 pixels a side or more, and none for smaller ones.
        conv_hidden_size: The hidden layer after the convolutions.
        layer_norm: Whether to normalize before each activation.

    Returns:
        A module.

    Raises:
        ValueError: There are convolutions, and observations are no images.

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
