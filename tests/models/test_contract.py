"""What holds of every registered model."""

import functools
import json
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models

NAMES = models.list_models()

# The smallest of each family, and what takes another path through it. These are computed; of the
# others, only the shapes are.
COMPUTED = {
    "alexnet": {"hidden_sizes": (32, 16)},
    "alexnet_2012": {"hidden_sizes": (32, 16)},
    "cifar_resnet20": {},
    "convnext_tiny": {"stochastic_depth": 0.0},
    "convnext_tiny batch": {"norm": "batch", "small_images": True, "stochastic_depth": 0.0},
    "densenet121": {"dropout": 0.1},
    "efficientnet_b0": {"stochastic_depth": 0.05},
    "googlenet": {},
    "inception_resnet_v1": {"stage_sizes": (1, 1, 1)},
    "inception_resnet_v2": {"stage_sizes": (1, 1, 1)},
    "inception_v3": {"pooled_widths": (32,), "narrow_widths": (128,)},
    "inception_v4": {"stage_sizes": (1, 1, 1)},
    "lenet5": {},
    "lenet5 original": {"original": True},
    "linear_classifier": {},
    "mixer_b_16": {},
    "mlp": {"hidden_sizes": (16,), "dropout": 0.1},
    "mobilenet_v1": {"width_multiplier": 0.25},
    "mobilenet_v2": {"width_multiplier": 0.35},
    "mobilenet_v3_small": {"width_multiplier": 0.35},
    "preact_resnet18": {},
    "resnet18": {},
    "se_resnet50": {"dropout": 0.1},
    "se_resnet50 original": {"original": True},
    "shufflenet_v1_g3": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_1": {"bypass": True},
    "swin_t": {"stochastic_depth": 0.0},
    "vgg11": {"hidden_sizes": (32, 16)},
    "vgg11_bn small": {"small_images": True},
    "vit_ti_16": {},
    "wrn_28_2": {"dropout": 0.1},
    "xception": {"dropout": 0.1},
    "zfnet": {"hidden_sizes": (32, 16)},
}
# Those that take long, and of whose layers other cases or the weights of other libraries tell too.
LONG = {
    "alexnet_2012",
    "convnext_tiny",
    "convnext_tiny batch",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_resnet_v1",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "mixer_b_16",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "preact_resnet18",
    "se_resnet50",
    "se_resnet50 original",
    "shufflenet_v1_g3",
    "shufflenet_v2_x0_5",
    "swin_t",
    "vgg11_bn small",
    "wrn_28_2",
    "xception",
    "zfnet",
}
SHORT = {*COMPUTED} - LONG
CASES = quick.only(COMPUTED, *SHORT)
# All names: of a family, the one that is computed is a quick or slow test, the others, which run
# the same code with other numbers, are tried before a release.
BY_NAME = quick.only(NAMES, *SHORT.intersection(NAMES), slow=LONG.intersection(NAMES))
SHORT_STAGES = tuple(rows[:1] for rows in models.create_model("mobilenet_v3_small").rows)
# What the cases of a name have fewer of, so that they compile faster: fields of the model.
SMALLER = {
    "convnext_tiny": {"stage_sizes": (1, 1, 1, 1)},
    "densenet121": {"block_sizes": (2, 1, 1, 1)},
    "efficientnet_b0": {"depth_multiplier": 0.25},
    "mixer_b_16": {"num_blocks": 2},
    "mobilenet_v3_small": {"rows": SHORT_STAGES},
    "se_resnet50": {"stage_sizes": (1, 1, 1, 1)},
    "swin_t": {"stage_sizes": (2, 1, 1, 1)},
    "vit_ti_16": {"num_blocks": 2},
    "wrn_28_2": {"stage_sizes": (2, 1, 1)},
    "xception": {"middle_blocks": 1},
}
# Their convolutions or poolings leave out edges, so that maps are smaller than the stride says.
UNPADDED = (
    "alexnet",
    "convnext",
    "densenet",
    "googlenet",
    "inception",
    "lenet5",
    "se_resnet50 original",
    "squeezenet",
    "swin",
    "vgg",
    "xception",
    "zfnet",
)
# Their head gives logits per place, of which the average is taken after an activation.
PER_PLACE = ("squeezenet",)
# Those that need larger images than 33x47: the start of their names, and a size.
LARGER: dict[str, tuple[int, int]] = {
    "alexnet": (63, 65),
    "inception": (75, 77),
    "zfnet": (47, 49),
}
# Those so deep and narrow that random parameters leave little of the image but biases, unless
# kernels are larger and biases smaller.
FADING = ("efficientnet", "mobilenet")


def shape_for(name, channels=3):
    sizes = [size for start, size in LARGER.items() if name.startswith(start)]
    return (2, *(sizes[0] if sizes else (33, 47)), channels)


def build(case, **options):
    name = case.split()[0]
    model = models.create_model(name, num_classes=5, **COMPUTED[case], **options)
    return model.clone(**SMALLER.get(name, {}))


class Filled:
    """A case with random variables, and what its calls make of random images."""

    def __init__(self, case, fill):
        self.case = case
        self.model = build(case)
        self.images = np.random.default_rng(1).normal(size=shape_for(case)).astype(np.float32)
        scales = {"gain": 1.4, "biases": 0.1} if case.startswith(FADING) else {}
        self.variables = fill(self.model, self.images, **scales)

    @functools.cached_property
    def calls(self):
        """The logits, the vector before them, and the last map, compiled as one program."""

        def calls(module, x):
            return module(x), module.embed(x), [*module.features(x).values()][-1]

        compiled = quick.jit(functools.partial(self.model.apply, method=calls))
        return jax.device_get(compiled(self.variables, self.images))


@pytest.fixture(scope="module", params=CASES)
def filled(request, fill):
    """Every case in turn."""
    return Filled(request.param, fill)


def test_every_family_is_computed():
    computed = {type(build(case)) for case in COMPUTED}
    assert computed == {type(models.create_model(name)) for name in NAMES}


class Traced(NamedTuple):
    """What a trace of `init`, `features`, `embed` and the logits tells of a model."""

    variables: dict
    features: dict
    strides: list[int]
    vector: jax.ShapeDtypeStruct
    logits: jax.ShapeDtypeStruct
    dtypes: dict[tuple[str, ...], np.dtype]


@functools.cache
def trace(case):
    """Traces a case in half precision, for images of four channels."""
    return trace_model(build(case, dtype="bfloat16", in_channels=4), shape_for(case, channels=4))


def trace_model(model, shape):
    dtypes, strides = {}, []

    def note(call, args, kwargs, context):
        if hasattr(context.module, "dtype"):
            dtypes[context.module.path] = context.module.dtype
        return call(*args, **kwargs)

    def calls(module, x):
        features = module.features(x)
        strides.extend(key for key in features)
        return features, module.embed(x), module(x)

    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    with nn.intercept_methods(note):
        (features, vector, logits), variables = jax.eval_shape(
            lambda key, x: model.init_with_output(key, x, method=calls), jax.random.key(0), images
        )
    return Traced(variables, features, strides, vector, logits, dtypes)


def check_shapes(name, shape, traced):
    """Logits per class, maps by stride that are as large as the stride says."""
    head = traced.variables["params"]["head"]["kernel"]
    assert traced.logits.shape == (2, 5)
    assert traced.vector.shape == (2, head.shape[0])
    assert head.shape[1] == 5
    assert {p.dtype for p in jax.tree.leaves(traced.variables)} == {jnp.dtype("float32")}
    first = traced.strides[0]
    assert traced.strides == [first * 2**i for i in range(len(traced.strides))]
    for stride in traced.strides:
        sizes = traced.features[stride].shape
        assert len(sizes) == 4
        assert sizes[0] == 2
        expected = [-(-size // stride) for size in shape[1:3]]
        if name.startswith(UNPADDED):
            assert all(0 < s <= e for s, e in zip(sizes[1:3], expected, strict=True))
        else:
            assert list(sizes[1:3]) == expected


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_strides(case):
    """Of images of four channels: others than three are possible."""
    check_shapes(case, shape_for(case), trace(case))


@pytest.mark.release
@pytest.mark.parametrize("name", sorted({*NAMES} - {*COMPUTED}))
def test_shapes_and_strides_of_the_others(name):
    model = models.create_model(name, num_classes=5)
    traced = trace_model(model, shape_for(name))
    check_shapes(name, shape_for(name), traced)
    assert traced.logits.dtype == jnp.float32


@pytest.mark.parametrize("case", CASES)
def test_every_layer_computes_in_the_dtype(case):
    traced = trace(case)
    assert traced.dtypes.keys() >= {(part,) for part in traced.variables["params"]}
    assert set(traced.dtypes.values()) == {jnp.dtype("bfloat16")}
    assert traced.logits.dtype == jnp.dtype("bfloat16")


@pytest.mark.parametrize("name", NAMES)
def test_description_makes_the_model_again(name):
    model = models.create_model(name, num_classes=7, in_channels=4, dtype=jnp.bfloat16)
    description = models.describe(model)
    assert description == {"name": name, **description, "num_classes": 7, "in_channels": 4}
    assert description["dtype"] == "bfloat16"
    again = models.create_model(**json.loads(json.dumps(description)))
    assert again == model
    assert hash(again) == hash(model)
    assert again != models.create_model(name, num_classes=8, in_channels=4, dtype="bfloat16")


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_no_image_is_refused(name):
    model = models.create_model(name, in_channels=3)
    key = jax.random.key(0)
    height, width = shape_for(name)[1:3]
    for method in ("__call__", "embed", "features"):
        with pytest.raises(TypeError, match=r"floating point, got uint8; scale them first"):
            model.init(key, np.zeros((2, height, width, 3), np.uint8), method=method)
        with pytest.raises(ValueError, match=r"in_channels=3, but the images have 1 channels"):
            model.init(key, np.zeros((2, height, width, 1), np.float32), method=method)
        with pytest.raises(
            ValueError, match=r"\(batch, height, width, channels\), got \(\d+, \d+, 3\)"
        ):
            model.init(key, np.zeros((height, width, 3), np.float32), method=method)
        with pytest.raises(ValueError, match=r"must have pixels .* \(2, 0, \d+, 3\)"):
            model.init(key, np.zeros((2, 0, width, 3), np.float32), method=method)


@pytest.mark.parametrize("case", quick.only(COMPUTED, *SHORT, slow=()))
def test_float64_images_and_parameters_compute_in_float64(case):
    model = build(case)
    with jax.enable_x64(True):
        images = jax.ShapeDtypeStruct(shape_for(case), jnp.float64)
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        assert {p.dtype for p in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
        variables = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, jnp.float64), variables)
        logits, updates = jax.eval_shape(
            lambda v, x, key: model.apply(
                v, x, train=True, mutable=["batch_stats"], rngs={"dropout": key}
            ),
            variables,
            images,
            jax.random.key(0),
        )
    assert logits.dtype == jnp.float64
    assert {p.dtype for p in jax.tree.leaves(updates)} <= {jnp.dtype("float64")}


def test_logits_are_finite_and_differ_between_images(filled):
    logits = filled.calls[0]
    assert np.isfinite(logits).all()
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_the_three_calls_agree(filled):
    logits, vector, last = filled.calls
    head = filled.variables["params"]["head"]
    expected = vector @ head["kernel"] + head["bias"]
    if filled.case.startswith(PER_PLACE):
        expected = np.maximum(last @ head["kernel"] + head["bias"], 0).mean((1, 2))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near_float32(filled):
    expected = filled.calls[0]
    half = build(filled.case, dtype="bfloat16")
    logits = jax.device_get(quick.jit(half.apply)(filled.variables, filled.images))
    assert logits.dtype == jnp.bfloat16
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits.astype(np.float32), expected, atol=0.1 * scale)
    # Images in half precision alone do not make the model compute in it.
    images = jax.ShapeDtypeStruct(filled.images.shape, jnp.bfloat16)
    assert jax.eval_shape(filled.model.apply, filled.variables, images).dtype == jnp.float32


def test_an_ensemble_is_a_vmap_also_of_a_batch_without_rows(filled):
    model, images, variables = filled.model, filled.images, filled.variables
    stacked = jax.tree.map(lambda p: jax.ShapeDtypeStruct((3, *p.shape), p.dtype), variables)
    none = jax.ShapeDtypeStruct((0, *images.shape[1:]), images.dtype)
    logits = jax.eval_shape(jax.vmap(model.apply, in_axes=(0, None)), stacked, none)
    assert logits.shape == (3, 0, 5)


def test_training_updates_the_statistics_there_are(filled):
    model, images, variables = filled.model, filled.images, filled.variables

    def loss_fn(params, key):
        (logits, auxiliary), updates = model.apply(
            {**variables, "params": params},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
            method="with_auxiliary",
        )
        return sum((each**2).sum() for each in (logits, *auxiliary)), updates

    step = quick.jit(jax.value_and_grad(loss_fn, has_aux=True))
    # Numbers of many shapes are looked at by NumPy, which compiles nothing for each.
    (_, updates), gradient = jax.device_get(step(variables["params"], jax.random.key(2)))
    assert set(updates) == set(variables) - {"params"}
    if "batch_stats" in updates:
        before, after = variables["batch_stats"], updates["batch_stats"]
        assert jax.tree.structure(before) == jax.tree.structure(after)
        changed = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
        assert all(jax.tree.leaves(changed))
        assert {s.dtype for s in jax.tree.leaves(after)} == {np.dtype("float32")}
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradient))
