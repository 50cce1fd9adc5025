"""What is on the disk where TFDS fails to prepare a data set."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxvision import data
from jaxvision.data import tfds_source


class JaxvisionUnprepared(tfds.core.GeneratorBasedBuilder):
    """It leaves what TFDS leaves when a download breaks off."""

    VERSION = tfds.core.Version("1.2.0")
    HALF = "downloads/jaxvision_unprepared/c.tmp.3/half"

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"a": np.uint8}))

    def _split_generators(self, dl_manager):
        raise NotImplementedError

    def _generate_examples(self):
        raise NotImplementedError

    def download_and_prepare(self, **options):
        root = pathlib.Path(self.data_dir).parents[1]
        made = ("jaxvision_unprepared/1.2.0", "jaxvision_unprepared/1.2.0.incomplete/part")
        for name in (*made, "downloads/extracted", "downloads/jaxvision_unprepared/b.tmp.2"):
            (root / name).mkdir(parents=True)
        if root.name == "old":
            (root / self.HALF).parent.mkdir()
            (root / self.HALF).touch()
        raise ConnectionError("broken pipe")


@pytest.fixture
def fail(monkeypatch):
    monkeypatch.setattr(tfds_source, "_online", lambda: True)

    def load(data_dir):
        with pytest.raises(data.DatasetError, match="broken pipe"):
            data.load("jaxvision_unprepared", "train", data_dir)

    return load


def test_a_new_folder_is_gone_again(fail, tmp_path):
    fail(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays_and_so_does_what_was_downloaded(fail, tmp_path):
    root = tmp_path / "old"
    kept = ("jaxvision_unprepared", "downloads/other", "downloads/jaxvision_unprepared/a.tmp.1")
    for name in kept:
        (root / name).mkdir(parents=True)
    fail(root)
    half = pathlib.Path(JaxvisionUnprepared.HALF)
    expected = {*kept, str(half), *map(str, half.parents)} - {"."}
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == expected
