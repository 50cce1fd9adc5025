import io
import json
import os
import pickle
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxvision import data
from jaxvision.data import tfds_source


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class JaxvisionScenes(tfds.core.GeneratorBasedBuilder):
    """Ten scenes with one feature of every kind."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = tfds.features
        return self.dataset_info_from_configs(
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(None, None, 3), encoding_format="png"),
                    "gray": features.Image(shape=(None, None, 1), encoding_format="png"),
                    "mask": features.Image(shape=(None, None, 1), encoding_format="png"),
                    "label": features.ClassLabel(names=["day", "night"]),
                    "caption": features.Text(),
                    "exposure": features.Scalar(np.float32),
                    "level": np.uint8,
                    "indoors": np.bool_,
                    "position": features.Tensor(shape=(3,), dtype=np.float32),
                    "boxes": features.Sequence(features.BBoxFeature()),
                    "objects": features.Sequence(
                        {"kind": features.ClassLabel(num_classes=3), "bbox": features.BBoxFeature()}
                    ),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(range(8)),
            "test": self._generate_examples(range(8, 10)),
        }

    def _generate_examples(self, numbers):
        for number in numbers:
            size = (6, 4 + number % 2)
            yield (
                number,
                {
                    "image": png(np.full((*size, 3), number, np.uint8)),
                    "gray": png(np.full(size, number, np.uint8)),
                    "mask": png(np.full(size, 250 + number % 2, np.uint8)),
                    "label": number % 2,
                    "caption": f"scene {number}",
                    "exposure": number + 0.1,
                    "level": number,
                    "indoors": number % 2 == 0,
                    "position": [number] * 3,
                    "boxes": [tfds.features.BBox(0.0, 0.0, 0.5, 1.0)] * (number % 3),
                    "objects": [{"kind": 1, "bbox": tfds.features.BBox(0.5, 0.25, 1.0, 0.75)}]
                    * (number % 3),
                },
            )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    JaxvisionScenes(data_dir=folder).download_and_prepare(file_format="array_record")
    return folder


def without_boxes(example):
    return {
        key: value for key, value in example.items() if not key.startswith(("boxes", "objects"))
    }


@pytest.fixture
def scenes(prepared):
    def load(split, **options):
        options = {"image_size": 4, "transform": without_boxes, **options}
        return data.load("jaxvision_scenes", split, prepared, **options)

    return load


@pytest.mark.parametrize("in_memory", [True, False])
def test_features_of_every_kind(scenes, in_memory):
    dataset = scenes("train", in_memory=in_memory)
    assert dataset.class_names == ("day", "night")
    (batch,) = dataset.batches(8, shuffle=False, epochs=1)
    numbers = batch["level"]
    assert sorted(numbers.tolist()) == list(range(8))
    assert {key: (value.dtype, value.shape[1:]) for key, value in batch.items()} == {
        "image": (np.uint8, (4, 4, 3)),
        "gray": (np.uint8, (4, 4, 1)),
        "mask": (np.uint8, (4, 4)),
        "label": (np.int64, ()),
        "exposure": (np.float32, ()),
        "level": (np.uint8, ()),
        "indoors": (np.bool_, ()),
        "position": (np.float32, (3,)),
        "weight": (np.float32, ()),
    }
    for row, number in enumerate(numbers.tolist()):
        assert (batch["image"][row] == number).all()
        assert (batch["gray"][row] == number).all()
        assert (batch["mask"][row] == 250 + number % 2).all()
        assert (batch["position"][row] == number).all()
        assert batch["label"][row] == number % 2
        assert batch["exposure"][row] == np.float32(number + 0.1)
        assert batch["indoors"][row] == (number % 2 == 0)


def test_transform_sees_text_and_nested_features(scenes):
    def transform(example):
        number = int(example["caption"].split()[-1])
        return {"number": number, "count": len(example["objects/kind"])}

    for example in scenes("all", transform=transform):
        assert example["count"] == example["number"] % 3


def test_objects_follow_the_image_and_are_filled_up(prepared):
    pad = {"boxes": 2, "objects": 2}
    scenes = data.load("jaxvision_scenes", "all", prepared, image_size=4, pad=pad)
    kinds = {name: scenes.fields[name].kind for name in ("boxes", "objects/bbox", "objects/kind")}
    assert kinds == {"boxes": "boxes", "objects/bbox": "boxes", "objects/kind": "label"}
    assert scenes.fields["objects/kind"].names == ("0", "1", "2")
    for example in scenes:
        number = int(example["level"])
        real = np.arange(2) < number % 3
        np.testing.assert_array_equal(example["boxes_valid"], real)
        np.testing.assert_array_equal(example["objects/valid"], real)
        np.testing.assert_array_equal(example["objects/kind"], np.where(real, 1, -1))
        # Images of 6x4 pixels lose a row above and below; those of 6x5 are shrunk to 4x4.
        for name, box in (("boxes", [0, 0, 4, 2]), ("objects/bbox", [1, 2, 3, 4])):
            np.testing.assert_allclose(example[name], np.where(real[:, None], [box], 0), atol=1e-6)


def test_features_of_different_shapes(scenes):
    message = r"boxes has different shapes in jaxvision_scenes.*; give pad={'boxes': ...}"
    with pytest.raises(data.DatasetError, match=message):
        scenes("train", transform=None)
    message = r"has different shapes in .*\(6, 4, .\) and \(6, 5, .\); give image_size=..."
    with pytest.raises(data.DatasetError, match=message):
        scenes("train", image_size=None)


@pytest.mark.parametrize(
    ("split", "count"),
    [
        ("train[:50%]", 4),
        ("train[6:]", 2),
        ("train+test", 10),
        ("all", 10),
        ("train[:3]+test[1:]", 4),
    ],
)
def test_slices(scenes, split, count):
    dataset = scenes(split)
    assert len(dataset) == count
    assert dataset.split == split
    assert len(set(dataset.examples["level"].tolist())) == count


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            "tran",
            r"unknown jaxvision_scenes split 'tran'; did you mean 'train'\? \(known: test, tr",
        ),
        ("validation[:10%]", "unknown jaxvision_scenes split"),
        ("", "unknown jaxvision_scenes split ''"),
        ("train+tst", r"cannot read 'train\+tst' of jaxvision_scenes: .*Unknown split 'tst'"),
        ("train[:5x%]", r"cannot read 'train\[:5x%\]' of jaxvision_scenes: .*'train\[:5x%\]'"),
    ],
)
def test_unknown_split(scenes, split, message):
    with pytest.raises(data.SplitError, match=message):
        scenes(split)


def test_source_survives_pickling(prepared):
    source, _ = tfds_source.open_tfds("jaxvision_scenes", "train", prepared)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[3]["image"], source[3]["image"])


def test_corrupt_image_names_its_record(tmp_path, monkeypatch):
    class JaxvisionBroken(JaxvisionScenes):
        def _generate_examples(self, numbers):
            for number, example in super()._generate_examples(numbers):
                yield number, {**example, "mask": example["mask"][:40]}

    JaxvisionBroken(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    message = "cannot decode mask of record 0 of jaxvision_broken/test: "
    with pytest.raises(data.CorruptImageError, match=message):
        data.load("jaxvision_broken", "test", tmp_path)


FROM_FILES = """
import sys
from jaxvision import data

digits = data.load("digits", "train", sys.argv[2])
scenes = data.load("jaxvision_scenes", "train", sys.argv[1], image_size=4,
                   transform=lambda example: {"label": example["label"]})
print(len(digits), len(scenes), *scenes.class_names)
streamed = data.load("digits", "test", sys.argv[2], in_memory=False).batches(50, epochs=1)
print(sum(int(batch["weight"].sum()) for batch in streamed))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_neither_tensorflow_nor_the_builders_code_is_needed(prepared, run_python, tmp_path):
    # A package of that name that cannot be imported, so that a try would not go unnoticed.
    (tmp_path / "path" / "tensorflow").mkdir(parents=True)
    (tmp_path / "path" / "tensorflow" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "script.py").write_text(FROM_FILES)
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")])
    printed = run_python(tmp_path / "script.py", prepared, tmp_path / "digits", PYTHONPATH=path)
    assert printed == "1258 8 day night\n359\n"


@pytest.fixture
def as_tfrecord(prepared, tmp_path):
    """The same data with files that are called TFRecord, as TFDS prepares them by default."""
    source = prepared / "jaxvision_scenes" / "1.2.0"
    folder = tmp_path / "data" / "jaxvision_scenes" / "1.2.0"
    folder.mkdir(parents=True)
    for file in source.iterdir():
        (folder / file.name.replace("array_record", "tfrecord")).write_bytes(file.read_bytes())
    info = json.loads((folder / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


@pytest.mark.parametrize("relative", [True, False])
def test_tfrecord_says_how_to_convert_it(as_tfrecord, relative, monkeypatch):
    monkeypatch.chdir(as_tfrecord.parent.parent.parent)
    data_dir = "data" if relative else as_tfrecord.parent.parent
    with pytest.raises(data.DatasetError, match="is stored as tfrecord") as caught:
        data.load("jaxvision_scenes", "train", data_dir)
    # With a relative path the command runs, and leaves files that TFDS does not find.
    command = (
        f"`tfds convert_format --dataset_version_dir={as_tfrecord} --out_file_format=array_rec"
    )
    assert command in str(caught.value)


def test_converted_tfrecord_can_be_read(as_tfrecord, prepared):
    # What `tfds convert_format` leaves: files of both kinds, and a line in the description.
    for file in (prepared / "jaxvision_scenes" / "1.2.0").glob("*array_record*"):
        (as_tfrecord / file.name).write_bytes(file.read_bytes())
    info = json.loads((as_tfrecord / "dataset_info.json").read_text())
    info["alternativeFileFormats"] = ["array_record"]
    (as_tfrecord / "dataset_info.json").write_text(json.dumps(info))
    dataset = data.load(
        "jaxvision_scenes",
        "train",
        as_tfrecord.parent.parent,
        image_size=4,
        transform=without_boxes,
    )
    assert len(dataset) == 8


@pytest.mark.parametrize(
    ("name", "nearest"), [("mnst", "mnist"), ("digit", "digits"), ("cifar-10", "cifar10")]
)
def test_unknown_name(tmp_path, name, nearest):
    with pytest.raises(data.DatasetError, match=f"did you mean {nearest!r}|cannot open") as caught:
        data.load(name, "train", tmp_path)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name", ["mnist/fashion", "mnist:9.9.9", "digits:9.9.9", "two words", "", "a/b/c/d"]
)
def test_name_that_cannot_be_opened(tmp_path, name):
    with pytest.raises(data.DatasetError, match=f"'{name}'"):
        data.load(name, "train", tmp_path)


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "_online", lambda: False)
    with pytest.raises(data.DatasetError) as caught:
        data.load("mnist", "train", tmp_path)
    assert str(caught.value) == (
        f"mnist is not prepared in {tmp_path}/mnist/3.0.1, and there is no network to download it "
        "from: put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz into "
        f"{tmp_path}/downloads/manual/mnist, and load it again"
    )


def test_no_network_really(tmp_path):
    if tfds_source._online():
        pytest.skip("there is a network")
    with pytest.raises(data.DatasetError, match="there is no network"):
        data.load("cifar10", "train", tmp_path)


@pytest.mark.parametrize(
    ("resolves", "proxies", "online"),
    [(True, {}, True), (False, {}, False), (False, {"https": "proxy"}, True)],
)
def test_online(monkeypatch, resolves, proxies, online):
    def getaddrinfo(*arguments):
        if not resolves:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [arguments]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("urllib.request.getproxies", lambda: proxies)
    assert tfds_source._online() is online


def test_download_by_hand(tmp_path):
    with pytest.raises(data.DatasetError) as caught:
        data.load("imagenet2012", "train", tmp_path)
    assert "imagenet2012 has to be downloaded by hand first" in str(caught.value)
    assert f"{tmp_path}/downloads/manual" in str(caught.value)
    assert "ILSVRC2012_img_train.tar" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("Failed to serialize x: No module named 'tensorflow'"),
            r"takes a package that is not installed \(No module named 'tensorflow'\); reading it d",
        ),
        (ConnectionError("broken pipe"), "preparing it failed: broken pipe: run `tfds build"),
        (ValueError("check sum differs."), "preparing it failed: check sum differs: run `tfds"),
        (AssertionError("no"), "preparing it failed: no: run"),
    ],
)
def test_preparing_fails(tmp_path, monkeypatch, error, message):
    def download_and_prepare(self, **options):
        raise error

    monkeypatch.setattr(tfds_source, "_online", lambda: True)
    monkeypatch.setattr(JaxvisionScenes, "download_and_prepare", download_and_prepare)
    with pytest.raises(data.DatasetError, match=message) as caught:
        data.load("jaxvision_scenes", "train", tmp_path)
    assert f"jaxvision_scenes is not prepared in {tmp_path}/jaxvision_scenes" in str(caught.value)
    assert "`tfds build jaxvision_scenes --file_format=array_record" in str(caught.value)


def test_builder_that_cannot_even_be_made(prepared, tmp_path, monkeypatch):
    # As that of `coco`, without TensorFlow. What lies prepared is read all the same.
    def fail(self, **options):
        raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(JaxvisionScenes, "__init__", fail)
    message = f"jaxvision_scenes is not prepared in {tmp_path}, and preparing it takes a package"
    with pytest.raises(data.DatasetError, match=message):
        data.load("jaxvision_scenes", "train", tmp_path)
    transform = without_boxes
    dataset = data.load("jaxvision_scenes", "test", prepared, image_size=4, transform=transform)
    assert len(dataset) == 2


def test_another_process_was_faster(prepared, tmp_path, monkeypatch):
    def download_and_prepare(self, **options):
        target = tmp_path / "jaxvision_scenes" / "1.2.0"
        target.mkdir(parents=True)
        for file in (prepared / "jaxvision_scenes" / "1.2.0").iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        raise OSError("Directory not empty")

    monkeypatch.setattr(tfds_source, "_online", lambda: True)
    monkeypatch.setattr(JaxvisionScenes, "download_and_prepare", download_and_prepare)
    source, fields = tfds_source.open_tfds("jaxvision_scenes", "train", tmp_path)
    assert len(source) == 8
    assert fields["label"].names == ("day", "night")


def test_data_set_without_labels(tmp_path):
    class JaxvisionUnlabelled(JaxvisionScenes):
        def _info(self):
            features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 3))})
            return self.dataset_info_from_configs(features=features)

        def _generate_examples(self, numbers):
            for number in numbers:
                yield number, {"image": png(np.full((4, 4, 3), number, np.uint8))}

    JaxvisionUnlabelled(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    dataset = data.load("jaxvision_unlabelled", "test", tmp_path)
    assert (dataset.class_names, dataset.num_classes) == ((), 0)
    assert set(dataset[0]) == {"image"}
