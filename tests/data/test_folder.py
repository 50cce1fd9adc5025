import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxvision import data


def save(path, value=0, size=(4, 3), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = Image.getmodebands(mode)
    Image.new(mode, size[::-1], value if bands == 1 else (value,) * bands).save(path)


@pytest.fixture
def zoo(tmp_path):
    """Two classes, in which files hide that are not to be read."""
    root = tmp_path / "zoo"
    save(root / "cat" / "b.png", 1)
    save(root / "cat" / "A.PNG", 2)
    save(root / "cat" / "old" / "deep" / "c.png", 3)
    save(root / "dog" / "d.JPG", 4)
    save(root / "dog" / "e.jpeg", 5)
    save(root / "dog" / "f.JPeG", 6)
    save(root / "dog" / ".g.png", 99)
    save(root / "dog" / ".thumbnails" / "h.png", 99)
    save(root / ".hidden" / "i.png", 99)
    save(root / "loose.png", 99)
    (root / "dog" / "notes.txt").write_text("not an image")
    (root / "dog" / "folder.png").mkdir()
    return root


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_classes_and_files(zoo, kind, in_memory):
    dataset = data.load_folder(kind(zoo), in_memory=in_memory)
    assert (dataset.name, dataset.split, dataset.class_names) == ("zoo", "all", ("cat", "dog"))
    found = [
        (int(e["image"][0, 0, 0]), int(e["label"])) for e in map(dataset.__getitem__, range(6))
    ]
    assert len(dataset) == 6
    assert found == [(2, 0), (1, 0), (3, 0), (4, 1), (5, 1), (6, 1)]


def test_class_without_images_keeps_its_number(zoo):
    (zoo / "bird").mkdir()
    dataset = data.load_folder(zoo)
    assert dataset.class_names == ("bird", "cat", "dog")
    assert sorted(set(dataset.examples["label"].tolist())) == [1, 2]


def test_classes_of_another_folder(zoo, tmp_path):
    """A test folder that lacks a class numbers the others as the training folder does."""
    save(tmp_path / "test" / "dog" / "1.png")
    test = data.load_folder(tmp_path / "test", split="test", class_names=("ant", "cat", "dog"))
    assert (test.split, test.class_names, test[0]["label"]) == ("test", ("ant", "cat", "dog"), 2)
    with pytest.raises(
        data.DatasetError, match=r"sub-folders dog, .* none of the classes cat, emu"
    ):
        data.load_folder(zoo, class_names=("cat", "emu"))


def test_home_folder(zoo, monkeypatch):
    monkeypatch.setenv("HOME", str(zoo.parent))
    assert len(data.load_folder("~/zoo")) == 6


def test_class_folder_by_a_link(zoo, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "cat").symlink_to(zoo / "cat", target_is_directory=True)
    assert len(data.load_folder(tmp_path / "linked")) == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_modes_mix(tmp_path, channels):
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        save(tmp_path / "any" / f"{mode}.png", mode=mode)
    for mode in ("L", "RGB", "CMYK"):
        save(tmp_path / "any" / f"{mode}.jpg", mode=mode)
    dataset = data.load_folder(tmp_path, channels=channels)
    assert dataset.examples["image"].shape == (10, 4, 3, channels)
    assert dataset.examples["image"].dtype == np.uint8


def test_unknown_channels(zoo):
    with pytest.raises(ValueError, match="channels must be 1, 3, 4 or None, got 2"):
        data.load_folder(zoo, channels=2)


@pytest.mark.parametrize(
    ("image_size", "shape"), [(5, (5, 5, 3)), ((3, 7), (3, 7, 3)), ((1, 1), (1, 1, 3))]
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_images_of_different_sizes(tmp_path, image_size, shape, in_memory):
    for number, size in enumerate([(4, 4), (9, 6), (1, 17)]):
        save(tmp_path / "any" / f"{number}.png", number, size)
    dataset = data.load_folder(tmp_path, image_size=image_size, in_memory=in_memory)
    assert dataset.image_shape == shape
    batch = next(dataset.batches(3, shuffle=False))
    assert batch["image"].shape == (3, *shape)
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 1, 2]


def test_images_of_different_sizes_and_none_to_bring_them_to(tmp_path):
    save(tmp_path / "any" / "1.png", size=(4, 4))
    save(tmp_path / "any" / "2.png", size=(4, 5))
    message = r"image has different shapes in .*\(4, 4, 3\) and \(4, 5, 3\); give image_size="
    with pytest.raises(data.DatasetError, match=message):
        data.load_folder(tmp_path)


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "text.png", "empty.jpg"])
def test_image_that_cannot_be_decoded(zoo, name):
    file = zoo / "cat" / name
    save(file.with_stem("whole"), size=(40, 40))
    whole = file.with_stem("whole").read_bytes()
    file.with_stem("whole").unlink()
    kinds = {"cut": whole[: len(whole) // 2], "text": b"not an image", "empty": b""}
    file.write_bytes(kinds[file.stem])
    with pytest.raises(data.CorruptImageError, match=f"cannot decode .*/zoo/cat/{file.name}: "):
        data.load_folder(zoo)
    with pytest.warns(UserWarning, match=f"skipped 1 of 7 images of zoo.*cat/{file.name}"):
        dataset = data.load_folder(zoo, corrupt="skip")
    assert (len(dataset), dataset.num_skipped) == (6, 1)
    assert dataset.class_names == ("cat", "dog")


def test_nothing_but_damage(zoo):
    for file in zoo.rglob("*.*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(data.DatasetError, match="zoo has no example that can be decoded"):
        data.load_folder(zoo, corrupt="skip")


def test_no_folder(tmp_path):
    with pytest.raises(data.DatasetError, match=f"{tmp_path}/nowhere is not a folder"):
        data.load_folder(tmp_path / "nowhere")
    save(tmp_path / "image.png")
    with pytest.raises(data.DatasetError, match=r"image\.png is not a folder"):
        data.load_folder(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "found 0 sub-folders and 0 images"),
        (["a.png", "b.jpg"], "found 0 sub-folders and 2 images"),
        (["cat/notes.txt", "dog/.hidden.png"], "found 2 sub-folders and 0 images"),
    ],
)
def test_no_images_in_class_folders(tmp_path, files, found):
    for file in files:
        save(tmp_path / file) if file.endswith(("png", "jpg")) else None
        (tmp_path / file).parent.mkdir(exist_ok=True)
    with pytest.raises(data.DatasetError, match=rf"expected .*/CLASS/IMAGE with .*{found}"):
        data.load_folder(tmp_path)
