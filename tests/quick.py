"""Which cases of a test are quick."""

import pytest


def only(cases, *names):
    """The cases for `parametrize`: these among the quick tests, the others among the slow ones.

    A case is a name or a tuple that begins with one.
    """

    def marked(case):
        values = case if isinstance(case, tuple) else (case,)
        return pytest.param(*values, marks=[] if values[0] in names else pytest.mark.slow)

    cases = list(cases)
    first = [case[0] if isinstance(case, tuple) else case for case in cases]
    assert set(names) <= set(first), f"{set(names) - set(first)} are not among the cases"
    return [marked(case) for case in cases]
