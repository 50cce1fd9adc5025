"""Array functions under the models: convolutions that are fast on every platform."""

from jaxvision.ops.convolution import conv_general_dilated, conv_in_loops, conv_transpose
from jaxvision.ops.layers import Conv, ConvTranspose

__all__ = ["Conv", "ConvTranspose", "conv_general_dilated", "conv_in_loops", "conv_transpose"]
