"""The tables of results of generative models."""

from table_rows import Comparison, Row

IMAGE_MODELS = (
    Row(
        "variational autoencoder: bits per dimension, bound with 1,000 codes per image",
        "vae",
        "bits_per_dimension",
    ),
    Row("variational autoencoder: evidence lower bound, in nats per image", "vae", "elbo", ".2f"),
    Row(
        "GAN: Fréchet distance, relative to that between two halves of the digits",
        "game_non_saturating_r1",
        "frechet_ratio",
    ),
    Row(
        "GAN: number of classes with at least 5% of the samples",
        "game_non_saturating_r1",
        "modes",
        ".0f",
    ),
    Row("GAN: share of the rarest class", "game_non_saturating_r1", "rarest_share", ".1%"),
    Row(
        "GAN: samples nearer to a training digit than 99% of these are to each other",
        "game_non_saturating_r1",
        "copies",
        ".1%",
    ),
    Row(
        "VAE on `shapes` in color, 32x32: bits per dimension, bound with 1,000 codes per image",
        "vae_shapes",
        "bits_per_dimension",
    ),
)
FRECHET = ("Fréchet distance, relative to that between halves of the data", "frechet_ratio", ".3f")
AUTOENCODERS = Comparison(
    (
        ("undercomplete, code of 8", "autoencoder_undercomplete"),
        ("denoising, code of 8", "autoencoder_denoising"),
        ("sparse by mean activity, code of 64", "autoencoder_sparse"),
        ("sparse by L1, code of 64", "autoencoder_sparse_l1"),
        ("contractive, code of 8", "autoencoder_contractive"),
    ),
    (
        ("PSNR in dB", "psnr", ".2f"),
        ("SSIM", "ssim", ".3f"),
        ("code entries near 0", "near_zero", ".0%"),
    ),
)
VAES = Comparison(
    (
        ("beta 1", "vae"),
        ("conditional", "vae_conditional"),
        ("0.5 free nats per code dimension", "vae_free_nats"),
        ("beta 0.2", "vae_beta_low"),
        ("beta 4", "vae_beta_high"),
        ("beta 20", "vae_collapsed"),
        ("beta 1, Gaussian likelihood", "vae_gaussian"),
        ("*independent pixels*", "vae/independent"),
        ("*normal distribution of all pixels*", "vae/normal"),
    ),
    (
        ("ELBO, nats per image", "elbo", ".2f"),
        ("bits per dimension, bound with 1,000 codes", "bits_per_dimension", ".3f"),
        ("KL divergence, nats per image", "kl", ".2f"),
        ("active code dimensions, of 16", "active_units", ".1f"),
    ),
)
NAMES_OF_GAMES = {
    "minimax": "minimax",
    "non_saturating": "non-saturating",
    "non_saturating_r1": "non-saturating with R1",
    "least_squares": "least squares",
    "hinge": "hinge",
    "wgan": "WGAN",
    "wgan_gp": "WGAN-GP",
}
GAMES = Comparison(
    tuple((name, f"game_{game}") for game, name in NAMES_OF_GAMES.items()),
    (
        FRECHET,
        ("digits with at least 5% of the samples", "modes", ".1f"),
        ("share of the rarest digit", "rarest_share", ".1%"),
        ("recall", "recall", ".3f"),
    ),
)
VARIANTS = Comparison(
    (
        ("non-saturating", "game_non_saturating"),
        ("the critic learns four times as fast as the generator", "game_ttur"),
        ("non-saturating with R1", "game_non_saturating_r1"),
        ("with R1 and classes", "game_conditional"),
    ),
    (
        FRECHET,
        ("digits with at least 5% of the samples", "modes", ".1f"),
        ("share of the rarest digit", "rarest_share", ".1%"),
        ("recall", "recall", ".3f"),
        ("samples of the digit that was asked for", "as_asked", ".1%"),
    ),
)
TRUNCATION = Comparison(
    (
        ("none", "samples_gan"),
        ("2", "truncation_2"),
        ("1", "truncation_1"),
        ("0.5", "truncation_05"),
    ),
    (
        ("precision", "precision", ".3f"),
        ("recall", "recall", ".3f"),
        ("density", "density", ".3f"),
        ("coverage", "coverage", ".3f"),
        FRECHET,
        ("share of the rarest digit", "rarest_share", ".1%"),
    ),
)
PLANE = Comparison(
    tuple((name, f"plane_{game}") for game, name in NAMES_OF_GAMES.items()),
    (("centers found, of 8", "modes", ".1f"), ("samples near a center", "near", ".1%")),
)
MEASURES = (
    FRECHET,
    ("kernel distance", "kernel_distance", ",.2f"),
    ("precision", "precision", ".3f"),
    ("recall", "recall", ".3f"),
    ("density", "density", ".3f"),
    ("coverage", "coverage", ".3f"),
    ("share of the rarest class", "rarest_share", ".1%"),
    ("copies", "copies", ".1%"),
)
NAMES_OF_MODELS = {"autoencoder": "autoencoder", "vae": "variational autoencoder", "gan": "GAN"}
SAMPLES = Comparison(
    (
        *((name, f"samples_{model}") for model, name in NAMES_OF_MODELS.items()),
        ("*held-out digits*", "samples_held_out"),
    ),
    (
        FRECHET,
        ("the same with equal numbers of images", "frechet_ratio_of_equals", ".3f"),
        *MEASURES[1:],
    ),
)
SHAPES = Comparison(
    tuple((name, f"samples_shapes_{model}") for model, name in NAMES_OF_MODELS.items()), MEASURES
)
