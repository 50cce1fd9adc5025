"""One process of a distributed run: `distributed_run.py RUN_DIR NUM_STEPS [SECONDS]`.

Which process it is, and how many devices it has, comes from the environment, as it does for a user.
"""

import json
import pathlib
import sys
import time

import jax
import numpy as np
import small_net

from jaxvision import data, train


class Labels:
    """An evaluation by rows, that keeps what it was given."""

    def measure(self, state, batch):
        return train.Rows(batch["label"], batch["weight"])

    def summarize(self, rows):
        self.rows = rows.tolist()
        return {"mean_label": rows.mean()}


def main(run_dir: str, num_steps: int, seconds: float) -> None:
    train.start(distributed=True)
    digits = data.load("digits", "train")
    augment = data.augment.chain(data.augment.random_flip(), data.augment.random_crop(padding=1))
    state, step = small_net.make(dropout=0.3, augment=augment)
    parallel = train.parallelize(step, shard=train.fsdp(min_size=256))
    batches = digits.batches(48, seed=3)
    rows = []
    draw = batches.plan.rows

    def slowed(number: int):
        time.sleep(seconds)
        index, weight = draw(number)
        rows.append(index.tolist())
        return index, weight

    object.__setattr__(batches.plan, "rows", slowed)
    validation, labels = data.load("digits", "validation"), Labels()
    result = train.fit(
        parallel,
        state,
        batches,
        num_steps=num_steps,
        evaluate=train.make_eval_fn(step.loss_fn),
        eval_data=validation,
        eval_every=10,
        evaluations={"labels": train.EvaluateOn(labels, validation)},
        checkpoint_every=5,
        log_every=1,
        run_dir=run_dir,
    )
    large = [leaf for leaf in jax.tree.leaves(result.state.params) if leaf.size >= 256]
    assert all(not leaf.is_fully_addressable for leaf in large) or jax.process_count() == 1
    whole = jax.jit(lambda tree: tree, out_shardings=jax.NamedSharding(parallel.mesh, jax.P()))(
        result.state
    )
    final = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(small_net.numbers(whole))]
    path = pathlib.Path(run_dir) / f"process{jax.process_index()}.json"
    content = {"rows": rows, "final": final, "metrics": result.metrics}
    path.write_text(json.dumps(content | {"evaluated": getattr(labels, "rows", None)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
