"""A segmenter: a decoder over a backbone, masks that move with images, mean IoU."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision import losses, metrics, models, ops, train


@models.register_module
class TinySegmenter(nn.Module):
    backbone: models.Model
    num_classes: int

    @nn.compact
    def __call__(self, x, train=False):
        maps = self.backbone.features(x, train)
        coarse = [nn.Conv(self.num_classes, (1, 1))(y) for y in maps.values()]
        return sum(ops.resize(y, x.shape[1:3]) for y in coarse)


class SegmentationLoss:
    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs

    def __call__(self, params, model_state, batch, key):
        batch = self.inputs.train(key, batch)
        variables = {"params": params, **model_state}
        logits, model_state = self.model.apply(
            variables, batch["image"], train=True, mutable=[*model_state]
        )
        weight = batch["weight"][:, None, None] * (batch["mask"] != 255)
        loss = metrics.mean(losses.cross_entropy(logits, batch["mask"]), weight)
        return loss[0] / jnp.maximum(loss[1], 1), (model_state, {"loss": loss})

    def describe(self):
        return {"task": "tiny_segmentation", "models": {"model": self.model}, "inputs": self.inputs}

    def measure(self, state, batch):
        images = self.inputs.evaluate(batch)["image"]
        found = self.model.apply(train.evaluation_variables(state), images).argmax(-1)
        truth, found = (jax.nn.one_hot(each, 2) for each in (batch["mask"], found))
        return jnp.einsum("n,nhwt,nhwp->tp", batch["weight"], truth, found)

    def summarize(self, confusion):
        return {"mean_iou": metrics.jaccard_index(confusion, "macro")}


class TrainedSegmenter(train.Trained):
    def predict(self, data=None, *, batch_size=128):
        model, inputs = self.run.model(), self.run.inputs

        def classes(variables, batch):
            return model.apply(variables, inputs.evaluate(batch)["image"]).argmax(-1)

        return train.map_batches(classes, self.run.variables(), data, batch_size=batch_size).rows


train.register_task("tiny_segmentation", TrainedSegmenter)
