"""What is read off the text of compiled programs, by hand-written ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxvision.train.planning import _costs, _hlo

LOOP = """HloModule looped, is_scheduled=true, num_partitions=4

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %c = f32[] add(%a, %b)
}

%body (in: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %in = (s32[], /*index=1*/f32[8,8]{1,0:T(8,128)}) parameter(0)
  %count = s32[] get-tuple-element(%in), index=0
  %x = f32[8,8]{1,0:T(8,128)} get-tuple-element(%in), index=1
  %product = f32[8,8]{1,0:T(8,128)} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %sum = f32[8,8]{1,0:T(8,128)} all-reduce(%product), replica_groups={{0,1},{2,3}}, to_apply=%add
  %one = s32[] constant(1)
  %next = s32[] add(%count, %one)
  ROOT %out = (s32[], f32[8,8]{1,0}) tuple(%next, %sum)
}

%condition (in: (s32[], f32[8,8])) -> pred[] {
  %in = (s32[], f32[8,8]{1,0}) parameter(0)
  %count = s32[] get-tuple-element(%in), index=0
  %limit = s32[] constant(10)
  ROOT %less = pred[] compare(%count, %limit), direction=LT
}

ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0:T(8,128)} parameter(0), sharding={replicated}
  %zero = s32[] constant(0)
  %start = (s32[], f32[8,8]{1,0}) tuple(%zero, %x)
  %loop = (s32[], f32[8,8]{1,0}) while(%start), condition=%condition, body=%body
  ROOT %result = f32[8,8]{1,0} get-tuple-element(%loop), index=1
}
"""


def collective(line: str, *, devices: int = 8) -> _costs.Collective:
    text = (
        f"HloModule one, num_partitions={devices}\n\nENTRY %main (x: f32[1024]) -> f32[1024] {{\n"
        f"  %x = f32[1024]{{0}} parameter(0)\n  ROOT %y = {line}\n}}\n"
    )
    (found,) = _costs.collectives(_hlo.read_module(text))
    return found


def test_what_is_in_a_loop_counts_as_often_as_it_runs() -> None:
    module = _hlo.read_module(LOOP)
    assert module.entry == "main"
    assert module.times == {"add": 10, "body": 10, "condition": 10, "main": 1}
    assert module.open_loops == 0
    assert _costs.repeated_flop(module) == 9 * 2 * 8**3
    (found,) = _costs.collectives(module)
    assert (found.kind, found.count, found.bytes) == ("all-reduce", 10, 10 * 256.0)
    assert found.sent == 10 * 256.0  # 2 (n - 1) / n of two chips
    # The product reads two and writes one; the sum reads and writes; the counter, three numbers.
    assert _costs.traffic(module) == 10 * (5 * 256 + 3 * 4 + 2 * 4 + 1)


def test_arithmetic_in_a_loop_counts_too() -> None:
    more = "  %twice = f32[8,8]{1,0:T(8,128)} add(%sum, %sum)\n  %one = s32[] constant(1)"
    module = _hlo.read_module(LOOP.replace("  %one = s32[] constant(1)", more))
    assert _costs.repeated_flop(module) == 9 * (2 * 8**3 + 8**2)


def test_the_length_of_a_loop_may_be_unknown() -> None:
    module = _hlo.read_module(LOOP.replace("constant(10)", "get-tuple-element(%in), index=0"))
    assert module.times["body"] == 1
    assert module.open_loops == 1
    said = LOOP.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}')
    assert _hlo.read_module(said).times["body"] == 7


@pytest.mark.parametrize(
    ("groups", "chips"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[4,2]<=[8]", 2),
        ("[2,4]<=[4,2]T(1,0)", 4),
        ("mesh['a'=4,'b'=2] {'a'}", 4),
        ("{}", 8),
    ],
)
def test_groups_of_chips(groups: str, chips: int) -> None:
    found = collective(f"f32[1024]{{0}} all-reduce(%x), replica_groups={groups}, to_apply=%add")
    assert found.sent == pytest.approx(2 * 4096 * (chips - 1) / chips)


@pytest.mark.parametrize(
    ("line", "kind", "size", "sent"),
    [
        ("f32[8192]{0} all-gather(%x), dimensions={0}", "all-gather", 32768, 28672),
        ("(f32[1024]{0}, f32[8192]{0}) all-gather-start(%x)", "all-gather", 32768, 28672),
        ("f32[128]{0} reduce-scatter(%x), to_apply=%add", "reduce-scatter", 4096, 3584),
        ("f32[1024]{0} all-to-all(%x), dimensions={0}", "all-to-all", 4096, 3584),
        ("f32[1024]{0} collective-permute(%x)", "collective-permute", 4096, 4096),
    ],
)
def test_what_collectives_move(line: str, kind: str, size: int, sent: int) -> None:
    assert collective(line) == _costs.Collective(kind, 1, float(size), float(sent))


def test_a_slice_of_a_large_array_counts_alone() -> None:
    module = _hlo.read_module("""HloModule slices

%read (whole: f32[1000,8], at: s32[]) -> f32[1,8] {
  %whole = f32[1000,8]{1,0} parameter(0)
  %at = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %row = f32[1,8]{1,0} dynamic-slice(%whole, %at, %zero), dynamic_slice_sizes={1,8}
}

%write (whole: f32[1000,8], row: f32[1,8], at: s32[]) -> f32[1000,8] {
  %whole = f32[1000,8]{1,0} parameter(0)
  %row = f32[1,8]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %new = f32[1000,8]{1,0} dynamic-update-slice(%whole, %row, %at, %zero)
}

ENTRY %main (whole: f32[1000,8], at: s32[]) -> f32[1000,8] {
  %whole = f32[1000,8]{1,0} parameter(0)
  %at = s32[] parameter(1)
  %row = f32[1,8]{1,0} fusion(%whole, %at), kind=kLoop, calls=%read
  %fast = f32[1000,8]{1,0:T(8,128)S(1)} copy(%whole)
  ROOT %new = f32[1000,8]{1,0} fusion(%whole, %row, %at), kind=kLoop, calls=%write
}
""")
    reads, copies, writes = 32 + 4 + 32, 32_000, 32 + 4 + 32
    assert _costs.traffic(module) == reads + copies + writes


@pytest.mark.parametrize(
    ("stride", "pads", "lhs_dilation", "rhs_dilation", "groups"),
    [
        (1, (1, 1), 1, 1, 1),
        (2, (3, 2), 1, 1, 1),
        (1, (2, 2), 2, 1, 1),
        (1, (4, 4), 1, 2, 2),
        (1, (10, 10), 1, 1, 1),
    ],
)
def test_convolutions_count_what_is_not_padding(
    stride: int, pads: tuple[int, int], lhs_dilation: int, rhs_dilation: int, groups: int
) -> None:
    """By the sum of all products of ones."""
    image, kernel = np.ones((2, 7, 7, 4), np.float32), np.ones((3, 3, 4 // groups, 6), np.float32)

    def convolve(image, kernel):
        return lax.conv_general_dilated(
            image,
            kernel,
            (stride, stride),
            (pads, pads),
            (lhs_dilation,) * 2,
            (rhs_dilation,) * 2,
            ("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    out = jax.eval_shape(convolve, image, kernel).shape
    window = f"size=3x3 stride={stride}x{stride} pad={pads[0]}_{pads[1]}x{pads[0]}_{pads[1]}"
    window += f" lhs_dilate={lhs_dilation}x{lhs_dilation} rhs_dilate={rhs_dilation}x{rhs_dilation}"
    shapes = [",".join(map(str, shape)) for shape in (image.shape, kernel.shape, out)]
    module = _hlo.read_module(f"""HloModule convolution

ENTRY %main (x: f32[{shapes[0]}], k: f32[{shapes[1]}]) -> f32[{shapes[2]}] {{
  %x = f32[{shapes[0]}]{{3,2,1,0}} parameter(0)
  %k = f32[{shapes[1]}]{{3,2,1,0}} parameter(1)
  ROOT %y = f32[{shapes[2]}]{{3,2,1,0}} convolution(%x, %k), window={{{window}}}, dim_labels=b01f_01io->b01f, feature_group_count={groups}
}}
""")  # noqa: E501
    computation = module.computations["main"]
    counted = _costs._flop(computation, computation.root)
    assert counted == 2 * float(jax.jit(lambda x, k: jnp.sum(convolve(x, k)))(image, kernel))


def test_text_that_is_no_program() -> None:
    with pytest.raises(ValueError, match="no ENTRY"):
        _hlo.read_module("")
