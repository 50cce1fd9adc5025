"""A captioner: tokens of one image after another, an LSTM, and whole sentences as an evaluation."""

import flax.linen as nn
import jax.numpy as jnp

from jaxvision import losses, metrics, models, train


@models.register_module
class TinyCaptioner(nn.Module):
    vocabulary: int
    width: int = 16

    @nn.compact
    def __call__(self, tokens, images, train=False):
        seen = nn.Dense(self.width)(images.reshape(len(images), -1))
        words = nn.Embed(self.vocabulary, self.width)(tokens) + seen[:, None]
        return nn.Dense(self.vocabulary)(nn.RNN(nn.OptimizedLSTMCell(self.width))(words))


class CaptionLoss:
    def __init__(self, model):
        self.model, self.inputs = model, train.Inputs()

    def logits(self, variables, batch):
        images = self.inputs.evaluate(batch)["image"]
        return self.model.apply(variables, batch["tokens"][:, :-1], images)

    def __call__(self, params, model_state, batch, key):
        logits, targets = self.logits({"params": params}, batch), batch["tokens"][:, 1:]
        weight = batch["weight"][:, None] * (targets != 0)
        total, count = metrics.mean(losses.cross_entropy(logits, targets), weight)
        return total / jnp.maximum(count, 1), (model_state, {"loss": (total, count)})

    def describe(self):
        return {"task": "tiny_captions", "models": {"model": self.model}, "inputs": self.inputs}

    def measure(self, state, batch):
        words = self.logits(train.evaluation_variables(state), batch).argmax(-1)
        return train.Rows({"said": words, "meant": batch["tokens"][:, 1:]}, batch["weight"])

    def summarize(self, rows):
        right = (rows["said"] == rows["meant"]) | (rows["meant"] == 0)
        return {"whole_sentences": right.all(axis=1).mean()}


class TrainedCaptioner(train.Trained):
    def predict(self, data=None, *, batch_size=128):
        model, names = CaptionLoss(self.run.model()), self.run.names("tokens")

        def words(variables, batch):
            return model.logits(variables, batch).argmax(-1)

        rows = train.map_batches(words, self.run.variables(), data, batch_size=batch_size).rows
        return [" ".join(names[word] for word in row) for row in rows]


train.register_task("tiny_captions", TrainedCaptioner)
