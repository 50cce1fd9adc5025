"""Generative networks: autoencoders, plain and variational; generators and their critics."""

from jaxvision.models.generative.autoencoders import Autoencoder, VariationalAutoencoder
from jaxvision.models.generative.coders import (
    Coder,
    ConvDecoder,
    ConvEncoder,
    DenseDecoder,
    DenseEncoder,
)
from jaxvision.models.generative.dcgan import DCGANCritic, DCGANGenerator
from jaxvision.models.generative.dense import DenseCritic, DenseGenerator
from jaxvision.models.generative.networks import Critic, Generator
from jaxvision.models.generative.residual import ResidualCritic, ResidualGenerator

__all__ = [
    "Autoencoder",
    "Coder",
    "ConvDecoder",
    "ConvEncoder",
    "Critic",
    "DCGANCritic",
    "DCGANGenerator",
    "DenseCritic",
    "DenseDecoder",
    "DenseEncoder",
    "DenseGenerator",
    "Generator",
    "ResidualCritic",
    "ResidualGenerator",
    "VariationalAutoencoder",
]
