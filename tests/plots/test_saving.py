import concurrent.futures

import numpy as np
import pytest
import quick
from PIL import Image

from jaxvision import plots


@pytest.fixture
def figure():
    return plots.image_grid(np.zeros((4, 8, 8, 1)), title="four")


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_size_and_content(figure, tmp_path, kind):
    path = tmp_path / "new" / "folder" / "a figure.png"
    plots.save(figure, kind(path))
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(np.floor(150 * figure.get_size_inches() + 1e-9).astype(int))
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        pixels = np.asarray(image.convert("L"))
    assert (pixels == 255).mean() > 0.05
    assert (pixels == 0).mean() > 0.3
    assert [file.name for file in path.parent.iterdir()] == ["a figure.png"]


def test_a_file_is_replaced(figure, tmp_path):
    path = tmp_path / "figure.PNG"
    path.write_text("old")
    plots.save(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_failure_leaves_the_old_file_alone(figure, tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    plots.save(figure, path)
    before = path.read_bytes()

    def fail(file, **options):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk is full"):
        plots.save(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["figure.pdf", "figure", ".png"])
def test_only_png(figure, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        plots.save(figure, tmp_path / name)
    assert not list(tmp_path.iterdir())


FIGURES = {
    "image_grid": lambda: plots.image_grid(np.zeros((2, 8, 8, 1)), ["a", "b"]),
    "confusion_matrix": lambda: plots.confusion_matrix([[8, 1], [2, 9]]),
}


@pytest.mark.parametrize("kind", quick.only(FIGURES, "image_grid", slow=[]))
def test_threads_draw_what_one_thread_draws(kind, tmp_path):
    def draw(name):
        for path in (f"{name}.png", "common.png"):
            plots.save(FIGURES[kind](), tmp_path / path)
        return (tmp_path / f"{name}.png").read_bytes()

    alone = draw("alone")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(draw, range(4))) == {alone}
    with Image.open(tmp_path / "common.png") as image:
        image.load()
