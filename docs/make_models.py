"""Writes models.md, the table of all models, from the registry:  python docs/make_models.py."""

import inspect
import pathlib
import re
import sys

from jaxvision import models

PAGE = pathlib.Path(__file__).with_name("models.md")
GRAY = ("lenet5",)
HEAD = """# Models

Every model that `models.list_models()` knows, with the options it has by itself. Parameters are
those that are trained, auxiliary heads included; multiply-adds are those of convolutions and matrix
products in one forward pass over one image of the size that is given. Maps are what
`method="features"` gives, each with its stride and channels; a map with * is smaller than the image
divided by its stride, because the convolutions are not padded. Where `output_stride` stands, the
model has that option: coarser stages then keep their size and dilate instead. Weights are those
that `models.load_weights` reads and `models.save_weights` writes. `python docs/make_models.py`
writes this page.

| model | parameters | multiply-adds | image | maps: stride (channels) | weights | paper |
| --- | --- | --- | --- | --- | --- | --- |
"""


def row(name: str) -> str:
    """The line of a model."""
    model = models.create_model(name)
    size, channels = model.default_image_size, 1 if name in GRAY else 3
    sources = dict.fromkeys(source.partition("-")[0] for source in model.torch_names())
    counted = models.summary(model, (size, size, channels), show=False)
    return (
        f"| `{name}` | {counted.num_parameters:,} | {_short(counted.multiply_adds)} | "
        f"{size}x{size}x{channels} | {_maps(model)} | {', '.join(sources) or '-'} | {paper(name)} |"
    )


def paper(name: str) -> str:
    """Who published a model and where, from the reference at the head of its file."""
    text = " ".join((inspect.getmodule(getattr(models, name)).__doc__ or "").split())
    found = re.search(r"References?: (.*)", text)
    if found is None:
        return "-"
    reference = found.group(1)
    authors = reference.partition(",")[0]
    year = re.search(r"\b(?:19|20)\d\d\b", reference).group()
    link = re.search(r"arXiv:(\d{4}\.\d{4,5})", reference.partition(";")[0])
    where = f", [arXiv:{link.group(1)}](https://arxiv.org/abs/{link.group(1)})" if link else ""
    return f"{authors}, {year}{where}"


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(map(row, models.list_models())) + "\n"


def _maps(model: models.Model) -> str:
    """The strides and channels of a model's maps."""
    maps = [
        f"{stride} ({info.channels}){'' if info.is_padded else '*'}"
        for stride, info in models.feature_info(model).items()
    ]
    option = ["`output_stride`"] if hasattr(model, "output_stride") else []
    return ", ".join(maps + option) or "-"


def _short(count: int) -> str:
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.2f} M"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE, file=sys.stderr)
