"""Chips, slices of them, and what programs are traced for."""

import importlib.util

import jax
import pytest

from jaxvision import ops
from jaxvision.ops.platform import target_platform
from jaxvision.train import planning


@pytest.mark.parametrize(
    ("topology", "chip", "sides"),
    [
        ("v5e:2x4", "v5e", (2, 4)),
        ("v6e:16x16", "v6e", (16, 16)),
        ("v5p:2x2x1", "v5p", (2, 2, 1)),
        ("v4:4x8x12", "v4", (4, 8, 12)),
    ],
)
def test_slices(topology: str, chip: str, sides: tuple[int, ...]) -> None:
    found, lengths = planning.check_topology(topology)
    assert (found.name, lengths) == (chip, sides)


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("v5e", "unknown topology 'v5e'; write the chip, a colon and the sides"),
        ("v5e-8", "such as 'v5e:2x4'"),
        ("v5:2x4", "unknown chip 'v5'; did you mean 'v5p'?"),
        ("v5e:3x4", "there is no slice of 3x4 chips of v5e; use one of 1x1, 2x2"),
        ("v5p:4x4", "there is no slice of 4x4 chips of v5p; use one of 2x2x1"),
        ("v4:4x4x6", "multiples of 4"),
    ],
)
def test_what_is_no_slice(topology: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        planning.tpu_mesh(topology)


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'jax\[tpu\]=="):
        planning.tpu_mesh("v5e:2x4")


def test_lowerings_are_those_of_the_mesh() -> None:
    """A machine without a TPU compiles for one what the TPU would."""
    tpu = jax.sharding.AbstractMesh(
        (8,), ("data",), abstract_device=jax.sharding.AbstractDevice("TPU v5 lite", 1, "tpu")
    )

    def depthwise(x, kernel):
        return ops.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=8,
        )

    shapes = (jax.ShapeDtypeStruct((1, 5, 5, 8), "float32"),
              jax.ShapeDtypeStruct((3, 3, 1, 8), "float32"))  # fmt: skip

    def program() -> str:
        return str(jax.make_jaxpr(depthwise)(*shapes))

    assert target_platform() == "cpu"
    assert "conv_general_dilated" not in program()
    with jax.sharding.use_abstract_mesh(tpu):
        assert target_platform() == "tpu"
        assert "conv_general_dilated" in program()
    assert "conv_general_dilated" not in program()
