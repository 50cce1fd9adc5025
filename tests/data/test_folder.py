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
    """Two classes, in which files hide that are passed over without a word."""
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
    save(root / "__MACOSX" / "j.png", 99)
    save(root / "cat" / "@eaDir" / "k.png", 99)
    for leftover in ("Thumbs.db", ".DS_Store", "cat/Desktop.ini", "dog/thumbs.db"):
        (root / leftover).write_text("not an image")
    (root / "lost+found").mkdir()
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


def test_class_without_images_keeps_its_number_and_is_said(zoo):
    (zoo / "bird").mkdir()
    with pytest.warns(UserWarning, match=r"zoo has no images of bird; they stay classes"):
        dataset = data.load_folder(zoo)
    assert dataset.class_names == ("bird", "cat", "dog")
    assert sorted(set(dataset.examples["label"].tolist())) == [1, 2]


def test_classes_of_another_folder(zoo, tmp_path):
    """A test folder that lacks a class numbers the others as the training folder does."""
    save(tmp_path / "test" / "dog" / "1.png")
    test = data.load_folder(tmp_path / "test", split="test", class_names=("ant", "cat", "dog"))
    assert (test.split, test.class_names, test[0]["label"]) == ("test", ("ant", "cat", "dog"), 2)
    with pytest.raises(
        data.DatasetError, match=r"sub-folders dog, .* not among the classes cat, emu"
    ):
        data.load_folder(zoo, class_names=("cat", "emu"))


def test_home_folder(zoo, monkeypatch):
    monkeypatch.setenv("HOME", str(zoo.parent))
    assert len(data.load_folder("~/zoo")) == 6


def test_class_folder_by_a_link(zoo, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "cat").symlink_to(zoo / "cat", target_is_directory=True)
    assert len(data.load_folder(tmp_path / "linked")) == 3


def test_links_deeper_inside_are_followed(zoo, tmp_path):
    save(tmp_path / "more" / "year" / "1.png", 7)
    (zoo / "dog" / "more").symlink_to(tmp_path / "more", target_is_directory=True)
    assert [value for value, _ in values(data.load_folder(zoo))] == [2, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("zoo/cat/again", "zoo/cat"),
        ("zoo/cat/old/deep/up", "zoo/cat"),
        ("zoo/cat/all", "zoo"),
        ("zoo/cat/above", "."),
        ("zoo/cat/same", "zoo/cat/old"),
        ("zoo/self", "zoo"),
        ("zoo/gone", "nowhere"),
    ],
)
def test_links_that_lead_in_a_circle_or_nowhere_are_said(zoo, tmp_path, link, target):
    (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    name = link.removeprefix("zoo/")
    with pytest.warns(UserWarning, match=rf"1 links that lead nowhere, .*, such as {name}$"):
        dataset = data.load_folder(zoo)
    assert (len(dataset), dataset.class_names) == (6, ("cat", "dog"))


def test_what_is_left_out_is_counted_and_named(zoo):
    for name in ("a.txt", "b.TXT", "c.heic", "deep.er/d", "e.pdf"):
        (zoo / "dog" / name).parent.mkdir(exist_ok=True)
        (zoo / "dog" / name).write_text("not an image")
    save(zoo / "loose.png")
    (zoo / "README.md").write_text("beside the classes")
    with pytest.warns(UserWarning, match="left out of") as caught:
        assert len(data.load_folder(zoo)) == 6
    assert sorted(str(each.message).removeprefix(f"left out of {zoo}: ") for each in caught) == [
        "1 images that lie in no class folder, such as loose.png",
        "5 files without the suffix of an image (2 .txt, 1 .heic, 1 without a suffix, 1 .pdf), "
        "such as dog/a.txt, dog/b.TXT, dog/c.heic",
    ]


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
    with pytest.raises(data.DatasetError, match="zoo/all has no example that can be decoded"):
        data.load_folder(zoo, corrupt="skip")


def test_no_folder(tmp_path):
    with pytest.raises(data.DatasetError, match=f"there is no folder {tmp_path}/nowhere$"):
        data.load_folder(tmp_path / "nowhere")
    (tmp_path / "pets").mkdir()
    with pytest.raises(
        data.DatasetError, match=f"no folder .*/petsss; did you mean {tmp_path}/pets"
    ):
        data.load_folder(tmp_path / "petsss")
    save(tmp_path / "image.png")
    with pytest.raises(data.DatasetError, match=r"image\.png is a file, and no folder"):
        data.load_folder(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "found 0 sub-folders and 0 images$"),
        (["a.png", "b.jpg"], "found 0 sub-folders and 2 images; left out: 2 images that lie in no"),
        (["cat/notes.txt", "dog/.hidden.png"], "found 2 sub-folders and 0 images; left out: 1 fil"),
    ],
)
def test_no_images_in_class_folders(tmp_path, files, found):
    for file in files:
        save(tmp_path / file) if file.endswith(("png", "jpg")) else None
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(data.DatasetError, match=rf"expected .*/CLASS/IMAGE, .*{found}"):
        data.load_folder(tmp_path)


def test_every_format_that_pillow_decodes(tmp_path):
    suffixes = (".webp", ".tif", ".TIFF", ".bmp", ".gif", ".jp2", ".tga", ".pgm", ".ico")
    for number, suffix in enumerate(suffixes):
        path = tmp_path / "any" / f"{number}{suffix}"
        save(path, 100, size=(16, 16), mode="L" if suffix == ".pgm" else "RGB")
    images = data.load_folder(tmp_path).examples["image"]
    assert images.shape == (len(suffixes), 16, 16, 3)
    assert np.abs(images.astype(int) - 100).max() <= 2  # some formats are lossy


def test_twelve_bits_stored_as_sixteen(tmp_path):
    (tmp_path / "any").mkdir()
    Image.fromarray(np.array([[0, 4095]], np.uint16)).save(tmp_path / "any" / "1.png")
    with pytest.warns(UserWarning, match="becomes nearly black"):
        assert data.load_folder(tmp_path)[0]["image"][0, :, 0].tolist() == [0, 15]
    scaled = data.load_folder(tmp_path, sixteen_bit="range", in_memory=False)
    assert scaled[0]["image"][0, :, 0].tolist() == [0, 255]


@pytest.fixture
def splits(tmp_path):
    """Splits of three classes, of which the smaller one lacks the middle one."""
    root = tmp_path / "pets"
    for label, kind in enumerate(("ant", "bee", "cat")):
        for number in range(20):
            save(root / "train" / kind / f"{number:02}.png", 20 * label + number)
        if kind != "bee":
            save(root / "val" / kind / "0.png", 100 + label)
    return root


def values(dataset):
    """The value of every image, with its label."""
    pairs = zip(dataset.examples["image"][:, 0, 0, 0], dataset.examples["label"], strict=True)
    return [(int(value), int(label)) for value, label in pairs]


def test_a_split_by_its_name(splits):
    train, val = (data.load_folder(splits, split=name) for name in ("train", "val"))
    assert (train.name, train.split, len(train)) == ("pets", "train", 60)
    assert values(train) == [(number, number // 20) for number in range(60)]
    assert (val.name, val.split, values(val)) == ("pets", "val", [(100, 0), (102, 2)])
    assert train.class_names == val.class_names == ("ant", "bee", "cat")


def test_a_split_that_is_not_named(splits):
    with pytest.raises(
        data.SplitError, match="pets holds the splits train, val; name one: split='"
    ):
        data.load_folder(splits)
    with pytest.raises(data.SplitError, match="unknown pets split 'vol'; did you mean 'val'"):
        data.load_folder(splits, split="vol")


@pytest.mark.parametrize("name", ["training", "VALID", "Validation", "testing", "dev"])
def test_names_of_splits(tmp_path, name):
    save(tmp_path / name / "cat" / "1.png")
    with pytest.raises(data.SplitError, match=f"holds the splits {name}; name one"):
        data.load_folder(tmp_path)
    assert data.load_folder(tmp_path, split=name).class_names == ("cat",)


def test_a_split_of_any_name(tmp_path):
    """It is the sub-folder that is asked for, whatever lies beside it."""
    for value, name in enumerate(("fold1/cat", "fold2/cat", "fold2/dog", "notes")):
        save(tmp_path / name / "1.png", value)
    assert values(data.load_folder(tmp_path, split="fold2")) == [(1, 0), (2, 1)]


def test_classes_that_are_called_like_splits(tmp_path):
    for name in ("train", "test"):
        save(tmp_path / name / "steam" / "1.png")
    dataset = data.load_folder(tmp_path, class_names=["test", "train"])
    assert (dataset.split, dataset.class_names, len(dataset)) == ("all", ("test", "train"), 2)
    save(tmp_path / "flat" / "train" / "1.png")
    save(tmp_path / "flat" / "car" / "1.png")
    assert data.load_folder(tmp_path / "flat", split="train").class_names == ("car", "train")


def test_splits_without_classes_are_no_classes(tmp_path):
    save(tmp_path / "train" / "1.png")
    save(tmp_path / "test" / "2.png")
    with pytest.raises(data.SplitError, match="holds the splits test, train; name one"):
        data.load_folder(tmp_path)
    with pytest.raises(data.DatasetError, match=r"expected .*/train/CLASS/IMAGE, .* and 1 images"):
        data.load_folder(tmp_path, split="train")


def test_a_class_that_the_training_split_lacks(splits):
    save(splits / "val" / "dog" / "1.png")
    with pytest.raises(data.DatasetError, match="val has the sub-folders dog, which are not amo"):
        data.load_folder(splits, split="val")


@pytest.mark.parametrize("name", ["all", "train", "zoo", "Zoo", "train[:100%]"])
def test_what_all_images_are_called_where_there_are_no_splits(zoo, name):
    assert (len(data.load_folder(zoo, split=name)), data.load_folder(zoo, split=name).split) == (
        6,
        name,
    )


def test_a_split_where_there_are_none(zoo):
    message = r"zoo has no split 'test': its sub-folders are the classes cat, dog, whose .*'all\["
    with pytest.raises(data.SplitError, match=message):
        data.load_folder(zoo, split="test")
    with pytest.raises(data.SplitError, match="has no split 'test'"):
        data.load_folder(zoo, split="test[:50%]")


def test_slices_make_a_split_and_have_every_class(splits):
    first = data.load_folder(splits, split="train[:80%]")
    last = data.load_folder(splits, split="train[80%:]", in_memory=False)
    assert (first.split, first.class_names) == ("train[:80%]", ("ant", "bee", "cat"))
    assert np.bincount(first.examples["label"]).tolist() == [16, 16, 16]
    rest = [(int(each["image"][0, 0, 0]), int(each["label"])) for each in last]
    assert sorted(values(first) + rest) == [(number, number // 20) for number in range(60)]
    assert values(first) == sorted(values(first))
    assert values(data.load_folder(splits, split="train[:80%]")) == values(first)
    few = data.load_folder(splits / "train", split="all[:6]")
    assert np.bincount(few.examples["label"]).tolist() == [2, 2, 2]


def test_class_names_that_are_no_names(zoo):
    with pytest.raises(ValueError, match="class_names must be different names, got 'cat' twice"):
        data.load_folder(zoo, class_names=["cat", "dog", "cat"])


@pytest.mark.parametrize(
    ("path", "split", "called"),
    [
        ("pets", "test", ("pets", "test")),
        ("pets", "test[:50%]", ("pets", "test[:50%]")),
        ("pets/test", "all", ("pets", "test")),
        ("pets/test", "test", ("pets", "test")),
        ("pets/test", "all[:50%]", ("pets", "test[:50%]")),
    ],
)
def test_data_are_called_as_their_folder_and_not_as_the_split(tmp_path, path, split, called):
    for part in ("train", "test"):
        for number in range(4):
            save(tmp_path / "pets" / part / "cat" / f"{number}.png", number)
    dataset = data.load_folder(tmp_path / path, split=split)
    assert (dataset.name, dataset.split) == called
