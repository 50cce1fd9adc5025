"""The tables of results: which scores of which summaries they show, in which rows and columns."""

from generative_tables import (
    AUTOENCODERS,
    GAMES,
    IMAGE_MODELS,
    PLANE,
    SAMPLES,
    SHAPES,
    TRUNCATION,
    VAES,
    VARIANTS,
)
from table_rows import Comparison, Row

IMAGES = (
    Row("LeNet-5 on `digits`: test accuracy", "demo", "accuracy", ".2%"),
    Row(
        "multi-task LeNet-5 (digit, slant, ink), plain sum of the losses: digit accuracy",
        "multitask_sum",
        "digit_accuracy",
        ".2%",
    ),
    Row(
        "same model: mean absolute error of the slant, in degrees",
        "multitask_sum",
        "slant_absolute_error",
        ".2f",
    ),
    Row(
        "same model: mean absolute error of the ink, in percent of the page",
        "multitask_sum",
        "ink_absolute_error",
        ".2%",
    ),
    Row(
        "multi-task LeNet-5, learned loss weights: digit accuracy",
        "multitask_learned",
        "digit_accuracy",
        ".2%",
    ),
    Row(
        "same model: mean absolute error of the slant, in degrees",
        "multitask_learned",
        "slant_absolute_error",
        ".2f",
    ),
    Row(
        "same model: mean absolute error of the ink, in percent of the page",
        "multitask_learned",
        "ink_absolute_error",
        ".2%",
    ),
    Row(
        "digits 5 to 9, ten images of each, LeNet-5 from scratch: accuracy on 646 other images",
        "transfer",
        "from scratch",
        ".2%",
    ),
    Row(
        "same images, LeNet-5 fine-tuned from digits 0 to 4: accuracy",
        "transfer",
        "fine-tuned",
        ".2%",
    ),
    Row("gain of fine-tuning over training from scratch", "transfer", "gain", "+.2%"),
    Row("gain if the ten images of each are augmented", "transfer_augmented", "gain", "+.2%"),
)
MASKS = (
    Row("small U-Net: mean IoU of background, circles, squares, triangles", "unet", "mean_iou"),
    Row(
        "small U-Net, averaged over eight flips and rotations: mean IoU",
        "unet",
        "dihedral/mean_iou",
    ),
    Row("small U-Net, without averaging: IoU of circles", "unet", "iou/circle"),
    Row("small U-Net: IoU of squares", "unet", "iou/square"),
    Row("small U-Net: IoU of triangles", "unet", "iou/triangle"),
    Row("small U-Net: F1 of boundaries, with a tolerance of one pixel", "unet", "boundary_f1"),
    Row("linear classifier of single pixels: mean IoU", "pixel_linear", "mean_iou"),
    Row("single 3x3 convolution: mean IoU", "pixel_linear3x3", "mean_iou"),
)
DECODERS = tuple(
    row
    for what, file in (
        ("FCN-8s", "decoder_fcn8s"),
        ("SegNet", "decoder_segnet"),
        ("U-Net", "decoder_unet"),
        ("FPN", "decoder_fpn"),
        ("DeepLabV3+", "decoder_deeplabv3_plus"),
    )
    for row in (
        Row(f"{what}: mean IoU", file, "mean_iou"),
        Row(f"{what}, refined by a dense CRF: mean IoU", file, "refined/mean_iou"),
    )
)
VOLUMES = tuple(
    row
    for what, file in (("3D U-Net", "volumes_unet3d"), ("DeepMedic", "volumes_deepmedic"))
    for row in (
        Row(f"{what}: mean IoU", file, "mean_iou"),
        Row(f"{what}: IoU of balls", file, "iou/ball"),
        Row(f"{what}: IoU of tubes", file, "iou/tube"),
        Row(f"{what}, refined by a dense CRF: mean IoU", file, "refined/mean_iou"),
    )
)
CLASSIFIERS = Comparison(
    (
        ("k nearest neighbors", "classifier_knn"),
        ("softmax regression", "classifier_softmax"),
        ("dense network", "classifier_mlp"),
        ("LeNet-5", "classifier_lenet5"),
    ),
    (("test accuracy", "accuracy", ".2%"),),
)
TOYS = Comparison(
    (
        ("XOR quadrants", "toys_xor"),
        ("annulus", "toys_annulus"),
        ("three modes", "toys_three_modes"),
    ),
    (("logistic regression", "linear", ".1%"), ("dense network", "mlp", ".1%")),
)
EMBEDDINGS = Comparison(
    (
        ("t-SNE", "embedding_tsne"),
        ("symmetric SNE", "embedding_symmetric_sne"),
        ("SNE", "embedding_sne"),
    ),
    (
        ("KL divergence, nats", "kl", ".3f"),
        ("trustworthiness", "trustworthiness", ".4f"),
        ("continuity", "continuity", ".4f"),
        ("ten nearest neighbors preserved", "neighbors_kept", ".1%"),
        ("nearest neighbor has the same class", "accuracy", ".1%"),
    ),
)
FIXATIONS = Comparison(
    (
        ("small U-Net", "fixations"),
        ("mean density of the training scenes", "fixations_center_prior"),
        ("distance from the mean color", "fixations_color_contrast"),
        ("spectral residual", "fixations_spectral_residual"),
        ("true density", "fixations_true_density"),
    ),
    (
        ("NSS", "nss", ".3f"),
        ("AUC-Judd", "auc_judd", ".4f"),
        ("CC", "cc", ".4f"),
        ("SIM", "sim", ".4f"),
        ("KL divergence, nats", "kl", "z.4f"),
    ),
)
NAMES_OF_EXPLAINERS = {
    "saliency": "gradient (absolute)",
    "gradient_x_input": "gradient x input",
    "smooth_grad": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
    "expected_gradients": "expected gradients",
    "deeplift": "DeepLIFT",
    "guided_backprop": "guided backprop",
    "deconvnet": "deconvnet",
    "excitation_backprop": "excitation backprop",
    "lrp_epsilon": "LRP-epsilon",
    "lrp_gamma": "LRP-gamma",
    "lrp_alpha_beta": "LRP-alpha-beta",
    "lrp_z_plus": "LRP-z+",
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "score_cam": "Score-CAM",
    "occlusion": "occlusion",
    "rise": "RISE",
    "shapley_sampling": "Shapley values",
    "random": "*random map*",
    "center": "*blob in the center*",
}
LINES_OF_EXPLAINERS = tuple(
    (title, f"explainers/{name}") for name, title in NAMES_OF_EXPLAINERS.items()
)
EXPLAINERS = Comparison(
    LINES_OF_EXPLAINERS,
    (
        ("mean rank", "mean_rank", ".1f"),
        ("deletion ↓", "deletion", ".2f"),
        ("insertion ↑", "insertion", ".2f"),
        ("faithfulness ↑", "faithfulness", ".2f"),
        ("sensitivity-n ↑", "sensitivity_n", ".2f"),
        ("pointing game ↑", "pointing_game", ".2f"),
        ("mass ↑", "relevance_mass", ".2f"),
        ("rank ↑", "relevance_rank", ".2f"),
        ("reset: rank correlation ↓", "rank_after_reset", ".2f"),
        ("reset: SSIM ↓", "ssim_after_reset", ".2f"),
        ("milliseconds", "milliseconds", ".1f"),
    ),
    sort_by="mean_rank",
)
TAGS = Comparison(
    LINES_OF_EXPLAINERS,
    (
        ("gain", "tag_gain", ".1%"),
        ("mass on tags that decide", "tag_mass", ".1%"),
        ("mass on tags without effect", "tag_mass_honest", ".1%"),
        ("pointing game", "tag_pointing_game", ".2f"),
    ),
    sort_by="tag_gain",
    largest_first=True,
)
CLEVER_HANS = Comparison(
    (
        ("trained without tags", "explainers/classifier"),
        ("trained with tags on circles", "explainers/clever_hans"),
    ),
    (
        ("circles without a tag", "own_class_untagged", ".1%"),
        ("circles with a tag", "own_class_tagged", ".1%"),
        ("others without a tag", "other_classes_untagged", ".1%"),
        ("others with a tag", "other_classes_tagged", ".1%"),
    ),
)
AGENTS = tuple(
    Row(what, file, "return", ".1f")
    for what, file in (
        ("CartPole-v1, DQN: return after 500,000 steps", "dqn_cartpole"),
        ("CartPole-v1, PPO: return after 496,640 steps", "ppo_cartpole"),
        (
            "CartPole-v1, REINFORCE with a learned baseline: return after 1,600 episodes",
            "reinforce",
        ),
        ("Acrobot-v1, PPO: return after 496,640 steps", "ppo_acrobot"),
        ("Catch, DQN: return after 200,000 steps", "dqn_catch"),
        ("Catch, PPO: return after 120,000 steps", "ppo_catch"),
    )
)
TABLES: dict[str, tuple[Row, ...] | Comparison] = {
    "images": IMAGES,
    "masks": MASKS,
    "classifiers": CLASSIFIERS,
    "toys": TOYS,
    "embeddings": EMBEDDINGS,
    "fixations": FIXATIONS,
    "decoders": DECODERS,
    "volumes": VOLUMES,
    "generated": IMAGE_MODELS,
    "autoencoders": AUTOENCODERS,
    "vaes": VAES,
    "games": GAMES,
    "variants": VARIANTS,
    "truncation": TRUNCATION,
    "plane": PLANE,
    "samples": SAMPLES,
    "shapes": SHAPES,
    "agents": AGENTS,
    "explainers": EXPLAINERS,
    "clever_hans": CLEVER_HANS,
    "tags": TAGS,
}
