"""Signals that ask a run to stop; `test_resume.py` sends them to real runs."""

import signal
import threading

import pytest

from jaxvision.train._interrupts import listen

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_program_goes_on(number: signal.Signals) -> None:
    with listen(enabled=True) as interrupts:
        assert interrupts.requested() is None
        signal.raise_signal(number)
        assert interrupts.requested() == number
        assert interrupts.requested() == number


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_acting_on_it(number: signal.Signals, kind: type[BaseException]) -> None:
    with listen(enabled=True) as interrupts:
        signal.raise_signal(number)
        with pytest.raises(kind) as caught:
            interrupts.act()
    if kind is SystemExit:
        assert caught.value.code == 0


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_acts_at_once(first: signal.Signals, second: signal.Signals) -> None:
    before = handlers()
    with listen(enabled=True):
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert handlers() == before


def test_handlers_are_put_back() -> None:
    before = handlers()
    with listen(enabled=True):
        assert all(now != then for now, then in zip(handlers(), before, strict=True))
    assert handlers() == before
    with pytest.raises(RuntimeError, match="in between"), listen(enabled=True):
        raise RuntimeError("in between")
    assert handlers() == before


def test_switched_off() -> None:
    before = handlers()
    with listen(enabled=False) as interrupts:
        assert handlers() == before
        assert interrupts.requested() is None


def test_other_threads_cannot_listen_and_need_not() -> None:
    before, seen = handlers(), []

    def run() -> None:
        with listen(enabled=True) as interrupts:
            seen.append((handlers(), interrupts.requested()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
