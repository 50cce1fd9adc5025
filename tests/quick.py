"""Which cases of a test are quick, programs that are made quickly, and what they gave."""

import functools

import jax
import numpy as np
import pytest

UNOPTIMIZED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def only(cases, *names, slow=None):
    """The cases for `parametrize`: these among the quick tests, the others among the slow ones.

    A case is a name or a tuple that begins with one. Where `slow` names some of the others, only
    these are slow tests, and what is left is tried before a release.
    """
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    known = [row[0] for row in rows]
    unknown = {*names, *(slow or ())} - {*known}
    assert not unknown, f"{unknown} are not among the cases"

    def marks(name):
        if name in names:
            return []
        return pytest.mark.slow if slow is None or name in slow else pytest.mark.release

    return [pytest.param(*row, marks=marks(row[0])) for row in rows]


def jit(function):
    """Compiles what runs once: sooner, to a program that takes longer."""
    return jax.jit(function, compiler_options=known_options())


def numbers(tree):
    """Copies of a tree's arrays on the host, with keys as the numbers they are made of."""

    def plain(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(plain, tree)


@functools.cache
def known_options():
    """Those options that XLA has."""
    program = jax.jit(lambda: 0).lower()

    def known(option):
        try:
            program.compile(dict([option]))
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return dict(filter(known, UNOPTIMIZED.items()))
