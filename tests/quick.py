"""Which cases of a test are quick, and programs that are made quickly."""

import functools

import jax
import pytest

UNOPTIMIZED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def only(cases, *names):
    """The cases for `parametrize`: these among the quick tests, the others among the slow ones.

    A case is a name or a tuple that begins with one.
    """
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    unknown = set(names) - {row[0] for row in rows}
    assert not unknown, f"{unknown} are not among the cases"
    return [pytest.param(*row, marks=[] if row[0] in names else pytest.mark.slow) for row in rows]


def jit(function):
    """Compiles what runs once: sooner, to a program that takes longer."""
    return jax.jit(function, compiler_options=known_options())


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
