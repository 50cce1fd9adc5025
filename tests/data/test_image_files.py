import os

import pytest
from PIL import Image

from jaxvision.data import image_files


def test_suffixes_are_those_that_pillow_decodes():
    suffixes = image_files.image_suffixes()
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".mpo"} <= suffixes
    # What Pillow only writes, only recognizes, or decodes by another program.
    assert not suffixes & {".pdf", ".palm", ".h5", ".wmf", ".grib", ".mpg", ".eps", ".ps", ".svg"}


def test_a_format_that_is_registered_later_is_an_image(monkeypatch):
    monkeypatch.setitem(Image.OPEN, "HEIF", (Image.Image, None))
    monkeypatch.setitem(Image.EXTENSION, ".HEIC", "HEIF")
    assert ".heic" in image_files.image_suffixes()


def test_every_folder_is_read_once_whatever_links_to_it(tmp_path):
    """Here two folders link to each other, and a link comes before what it leads to."""
    for name in ("one", "two"):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / f"{name}.png").touch()
    (tmp_path / "class" / "one" / "link").symlink_to(tmp_path / "class" / "two")
    (tmp_path / "class" / "two" / "link").symlink_to(tmp_path / "class" / "one")
    (tmp_path / "apart" / "inner").mkdir(parents=True)
    (tmp_path / "apart" / "inner" / "three.png").touch()
    (tmp_path / "class" / "a").symlink_to(tmp_path / "apart" / "inner")
    (tmp_path / "class" / "b").symlink_to(tmp_path / "apart")
    found = image_files.find(tmp_path / "class", tmp_path)
    assert [path.name for path in found.images] == ["three.png", "one.png", "two.png"]
    assert [str(path.relative_to(tmp_path)) for path in found.unfollowed] == [
        "class/one/link",
        "class/two/link",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "class" / "locked").mkdir(parents=True)
    (tmp_path / "class" / "locked").chmod(0)
    with pytest.raises(PermissionError):
        image_files.find(tmp_path / "class", tmp_path)
