"""Which parameters a regular expression picks."""

import hypothesis
import hypothesis.strategies as st
import jax
import pytest

from jaxvision import train

PARAMS = {
    "stem": {"kernel": 1},
    "stage1": {"block0": {"kernel": 2, "bias": 3}, "block1": {"kernel": 4}},
    "stage10": {"kernel": 5},
    "head": {"kernel": 6, "bias": 7},
}

KEYS = st.sampled_from(["a", "b", "c", "kernel", "bias"])
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers(), lambda trees: st.lists(trees) | st.dictionaries(KEYS, trees), max_leaves=8
    ),
)


def picked(patterns: list[str]) -> set[int]:
    chosen, _ = train.partition(PARAMS, train.select(PARAMS, patterns))
    return set(jax.tree.leaves(chosen))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["head"], {6, 7}),
        (["head/kernel"], {6}),
        (["stage1"], {2, 3, 4}),  # the whole of a name: not stage10
        (["stage1/block0"], {2, 3}),
        (["stage1.*"], {2, 3, 4, 5}),
        (["stage[12]0?"], {2, 3, 4, 5}),
        ([".*/bias"], {3, 7}),
        (["stem", "head/bias"], {1, 7}),
        (["head|stem"], {1, 6, 7}),
        (["(?i)HEAD"], {6, 7}),
        ([".*"], {1, 2, 3, 4, 5, 6, 7}),
        ([], set()),
    ],
)
def test_a_pattern_matches_a_whole_path_or_a_module_above(patterns, expected) -> None:
    assert picked(patterns) == expected


@pytest.mark.parametrize("pattern", ["stage", "block0", "kernel", "ead", "head/", "/head"])
def test_part_of_a_path_is_no_match(pattern: str) -> None:
    with pytest.raises(ValueError, match=f"no parameter matches: unknown pattern '{pattern}'"):
        train.select(PARAMS, [pattern])


def test_every_pattern_has_to_match() -> None:
    with pytest.raises(ValueError, match="unknown pattern 'haed'; did you mean 'head'"):
        train.select(PARAMS, ["stem", "haed"])
    with pytest.raises(ValueError, match="did you mean 'stage1/block0/kernel'"):
        train.select(PARAMS, ["stage1/block0/kernl"])


@pytest.mark.parametrize("pattern", ["head(", "*", "head)(.*"])
def test_bad_regular_expressions(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression: "):
        train.select(PARAMS, [pattern])


def test_a_string_is_no_list_of_patterns() -> None:
    with pytest.raises(ValueError, match=r"must be a sequence of strings; write \['head'\]"):
        train.select(PARAMS, "head")


@hypothesis.given(TREES, st.randoms(use_true_random=False))
def test_partition_and_combine_undo_each_other(tree, random) -> None:
    mask = jax.tree.map(lambda _: random.random() < 0.5, tree)
    chosen, rest = train.partition(tree, mask)
    assert train.combine(chosen, rest) == train.combine(rest, chosen) == tree
    assert len(jax.tree.leaves(chosen)) == sum(jax.tree.leaves(mask))
    assert len(jax.tree.leaves(chosen)) + len(jax.tree.leaves(rest)) == len(jax.tree.leaves(tree))


def test_paths_of_lists_and_attributes() -> None:
    state = train.TrainState(
        step=0, params={"layers": [1, 2]}, model_state={}, opt_state=(), ema_params=None, key=3
    )
    names = [train.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert names == ["step", "params/layers/0", "params/layers/1", "key"]
