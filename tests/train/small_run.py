"""A run that a test starts, kills and starts again: `small_run.py RUN_DIR NUM_STEPS [SECONDS]`.

Convolution, BatchNorm, dropout, augmentation, EMA, accumulation, momentum and a schedule; the
final state's numbers go to RUN_DIR/final.npz. SECONDS slows every step down.
"""

import pathlib
import sys
import time

import jax
import numpy as np
import small_net

from jaxvision import data, train


class SlowBatches:
    """Batches that take their time, so that a signal can come at any step."""

    def __init__(self, batches: data.Batches, seconds: float) -> None:
        self._batches = batches
        self._seconds = seconds
        self.get_state = batches.get_state
        self.set_state = batches.set_state

    def __iter__(self) -> "SlowBatches":
        return self

    def __next__(self) -> dict:
        time.sleep(self._seconds)
        return next(self._batches)


def main(run_dir: str, num_steps: int, seconds: float) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    train.start()
    digits = data.load("digits", "train")
    augment = data.augment.chain(data.augment.random_flip(), data.augment.random_crop(padding=1))
    state, step = small_net.make(dropout=0.3, augment=augment, num_steps=num_steps)
    result = train.fit(
        step,
        state,
        SlowBatches(digits.batches(48, seed=3), seconds),
        num_steps=num_steps,
        evaluate=train.make_eval_fn(step.loss_fn),
        eval_data=data.load("digits", "validation"),
        eval_every=25,
        checkpoint_every=9,
        log_every=2,
        run_dir=run_dir,
        settings={"num_steps": num_steps},
    )
    leaves = jax.tree.leaves(small_net.numbers(result.state))
    np.savez(pathlib.Path(run_dir) / "final.npz", *leaves)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
