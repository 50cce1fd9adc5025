"""Colors for figures and masks that color-blind readers can distinguish."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Palette of Okabe and Ito (2008), without yellow, which is hard to see on white."""
