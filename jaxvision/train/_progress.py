"""The progress display of a run: a bar on a terminal and in a notebook, lines elsewhere."""

import shutil
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax

_LONG = 120.0
"""Seconds from which the duration of a run is announced."""
_SETTLED = 3.0
"""Seconds of training after which the time of a step can be estimated."""
_HIDDEN = ("steps_per_second", "gradient_norm", "learning_rate")
"""Training metrics that are logged but not displayed."""
_MOST = 6
"""The most metrics of an evaluation in a line."""
_PATIENCE = 5.0
"""Seconds of silence after which a line says that the step is being compiled."""
_BAR = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_BAR_OF_UNKNOWN_LENGTH = "{desc}{n_fmt} steps [{elapsed}{postfix}]"
_BESIDES = 44
"""Columns of a bar that show no metrics."""


class Progress:
    """Displays the progress of a run, in the first process only.

    Attributes:
        memory: Returns the bytes that a step takes on each device, or None; called once, by long
            runs.
    """

    memory: Callable[[], int | None] = staticmethod(lambda: None)

    def __init__(self, show: bool | None, start: int, num_steps: int | None) -> None:
        """Chooses the form of display, by the `progress` of `fit`."""
        self._start = self._step = start
        self._num_steps = num_steps
        self._began: float | None = None
        self._evaluated = False
        self._silence = threading.Timer(_PATIENCE, self.say, ["compiling the step"])
        self._silence.daemon = True
        self._forecast = False
        self._shown: dict[str, dict[str, str]] = {}
        self._bar: Any = None
        self._is_silent = show is False or jax.process_index() != 0
        self._wants_bar = bool(show) or (show is None and (sys.stderr.isatty() or _in_notebook()))

    def __enter__(self) -> "Progress":
        if not self._wants_bar and not self._is_silent:
            self._silence.start()
        if self._wants_bar and not self._is_silent:
            total = self._num_steps
            self._bar = _tqdm()(
                total=total,
                initial=self._start,
                desc="compiling",
                bar_format=_BAR_OF_UNKNOWN_LENGTH if total is None else _BAR,
                dynamic_ncols=True,
                disable=False,
                file=sys.stderr,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.cancel()
        if self._bar is not None:
            self._bar.set_description_str("", refresh=False)
            self._bar.close()

    def advance(self, count: int) -> None:
        """Counts steps that were run; the clock starts after the first, which include compiling."""
        self._step += count
        if self._began is None:
            self._silence.cancel()
            self._restart_clock()
            if self._bar is not None:
                self._bar.set_description_str("", refresh=False)
        elif not self._forecast:
            self._tell_time()
        if self._bar is not None:
            self._bar.update(count)

    def measured(self, split: str, values: Mapping[str, float]) -> None:
        """Takes the newest metrics of training (`split` is `train`) or of an evaluation."""
        names = sorted((name for name in values if name not in _HIDDEN), key=_rank)
        self._shown[split] = {name: f"{values[name]:.4g}" for name in names}
        if self._bar is not None:
            width = shutil.get_terminal_size().columns - _BESIDES
            self._bar.set_postfix_str(_fitting(self._shown, width), refresh=False)

    def report(self) -> None:
        """Writes a line with the newest metrics."""
        of = "" if self._num_steps is None else f" of {self._num_steps:,}"
        parts = [f"step {self._step:,}{of}"]
        for split, texts in self._shown.items():
            if not texts:  # nothing was counted since the last line
                continue
            some = [f"{name} {text}" for name, text in list(texts.items())[:_MOST]]
            more = ["..."] if len(texts) > _MOST else []
            parts.append(f"{split} {', '.join(some + more)}")
        rate = self._rate()
        if rate is not None and self._bar is None:
            left = None if self._num_steps is None else (self._num_steps - self._step) / rate
            in_words = f", {duration(max(left, 1.0))} left" if left else ""
            parts.append(f"{rate:.3g} steps/s{in_words}")
        self.say("; ".join(parts))
        if not self._evaluated:  # its time was spent on compiling the evaluation, too
            self._evaluated = True
            self._restart_clock()

    def say(self, text: str) -> None:
        """Writes a line, above the bar if there is one; on a terminal it is wrapped."""
        if self._is_silent:
            return
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            text = textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)
        _tqdm().write(text, file=sys.stderr)

    def _restart_clock(self) -> None:
        self._began = time.perf_counter()
        self._start = self._step

    def _rate(self) -> float | None:
        """Steps per second since the step was compiled, including evaluations."""
        if self._began is None or self._step == self._start:
            return None
        return (self._step - self._start) / max(time.perf_counter() - self._began, 1e-9)

    def _tell_time(self) -> None:
        """Announces the duration of a long run, as soon as it can be estimated."""
        rate = self._rate()
        if self._num_steps is None or rate is None or self._began is None:
            return
        if time.perf_counter() - self._began < _SETTLED:
            return
        self._forecast = True
        left = self._num_steps - self._step
        if left / rate < _LONG:
            return
        memory = self.memory()
        takes = "" if memory is None else f" and {memory / 2**30:.2g} GiB of memory on each device"
        self.say(
            f"a step takes {duration(1 / rate)}{takes}: the remaining {left:,} steps will take "
            f"about {duration(left / rate)}"
        )


def duration(seconds: float) -> str:
    """Formats a duration in seconds.

    >>> [duration(seconds) for seconds in (0.0123, 5.2, 75.0, 4e3, 2e5)]
    ['12 ms', '5.2 s', '1 min 15 s', '1 h 7 min', '2 d 8 h']
    """
    if seconds < 1:
        return f"{1e3 * seconds:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.2g} s"
    for size, name, part, part_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if round(seconds) >= size:
            whole, rest = divmod(round(seconds / part), size // part)
            return f"{whole} {name}" + (f" {rest} {part_name}" if rest else "")
    raise AssertionError(seconds)


def _rank(name: str) -> int:
    """The place of a metric: the loss, the return, the others."""
    return 0 if name == "loss" else 1 if name in ("return", "episode_return") else 2


def _fitting(shown: Mapping[str, Mapping[str, str]], width: int) -> str:
    """As many metrics as fit. A metric of an evaluation is kept before the loss.

    >>> shown = {"train": {"loss": "0.5", "accuracy": "0.8"}, "test": {"accuracy": "0.9"}}
    >>> _fitting(shown, 40), _fitting(shown, 20)
    ('loss 0.5, test accuracy 0.9', 'test accuracy 0.9')
    """
    of_training = [f"{name} {text}" for name, text in shown.get("train", {}).items()]
    evaluated = [
        f"{split} {name} {numbers[name]}"
        for split, numbers in shown.items()
        if split != "train"
        for name in [name for name in numbers if "loss" not in name] or list(numbers)
    ]
    kept: list[str] = []
    for text in (*evaluated[:1], *of_training[:1], *evaluated[1:], *of_training[1:]):
        if len(", ".join([*kept, text])) > width:
            break
        kept.append(text)
    return ", ".join(
        text for text in (*of_training[:1], *evaluated, *of_training[1:]) if text in kept
    )


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _tqdm() -> Any:
    """The bar for notebooks, in a notebook that can show it, else the bar for terminals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets, bars of text are drawn
        from tqdm.auto import tqdm
    return tqdm
