"""Least squares GAN: two networks, each of which is the context of the other."""

import flax.linen as nn
import jax
import optax

from jaxvision import models, train


@models.register_module
class TinyPlayer(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(self.outputs)(nn.tanh(nn.Dense(16)(x)))


class Gan:
    def __init__(self):
        self.models = {"generator": TinyPlayer(outputs=2), "critic": TinyPlayer(outputs=1)}
        self.tx = optax.adam(3e-3, b1=0.5)
        self.learn = train.make_train_step(self.generator_loss, self.tx)
        self.criticize = train.make_train_step(self.critic_loss, self.tx)

    def init(self, key):
        shapes = {"generator": jax.numpy.zeros((1, 4)), "critic": jax.numpy.zeros((1, 2))}
        return {k: train.init_state(key, m, self.tx, shapes[k]) for k, m in self.models.items()}

    def fake(self, params, batch, key):
        noise = jax.random.normal(key, (len(batch["point"]), 4))
        return self.models["generator"].apply({"params": params}, noise)

    def generator_loss(self, params, model_state, batch, key, *, context):
        said = self.models["critic"].apply({"params": context}, self.fake(params, batch, key))
        return ((said - 1) ** 2).mean(), (model_state, {})

    def critic_loss(self, params, model_state, batch, key, *, context):
        points = jax.numpy.stack([batch["point"], self.fake(context, batch, key)])
        real, fake = self.models["critic"].apply({"params": params}, points)
        return ((real - 1) ** 2 + fake**2).mean(), (model_state, {})

    def __call__(self, state, batch):
        critic, said = self.criticize(state["critic"], batch, context=state["generator"].params)
        generator, made = self.learn(state["generator"], batch, context=critic.params)
        measured = {"critic_loss": said["loss"], "generator_loss": made["loss"]}
        return {"generator": generator, "critic": critic}, measured

    def describe(self):
        return {"task": "tiny_gan", "models": self.models}


class TrainedGan(train.Trained):
    def predict(self, data=None, *, batch_size=128):
        noise = jax.random.normal(jax.random.key(0), (batch_size, 4))
        return self.run.model("generator").apply(self.run.variables("generator"), noise)


train.register_task("tiny_gan", TrainedGan)
