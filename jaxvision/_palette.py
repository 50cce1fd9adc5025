"""Colors that are told apart without the sense for red and green, for figures and masks."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, 2008; yellow, which is lost on white, left out."""
