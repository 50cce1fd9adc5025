"""Weights of torchvision and timm, without torch."""
