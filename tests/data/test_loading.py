import numpy as np
import pytest

from jaxvision import data


def test_options_reach_the_data():
    dataset = data.load(
        "digits",
        "validation[:20]",
        image_size=(5, 6),
        transform=lambda example: {**example, "image": 255 - example["image"]},
        in_memory=False,
        corrupt="skip",
    )
    assert (dataset.name, dataset.split, len(dataset)) == ("digits", "validation[:20]", 20)
    assert (dataset.in_memory, dataset.corrupt) == (False, "skip")
    plain = data.load("digits", "validation[:20]")
    assert plain.in_memory
    expected = 255 - data.resize_and_crop(plain[7]["image"], data.Preprocessing((5, 6)))
    np.testing.assert_array_equal(dataset[7]["image"], expected)


def test_data_dir_is_a_text_or_a_path_and_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for data_dir in ("~/data", str(tmp_path / "data"), tmp_path / "data"):
        assert len(data.load("digits", "test[:9]", data_dir)) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (tmp_path / "data" / "digits" / "1.0.0" / "dataset_info.json").exists()


@pytest.mark.slow
def test_workers_read_records():
    expected = data.load("digits", "test").batches(100, epochs=1, seed=1)
    dataset = data.load("digits", "test", in_memory=False)
    with dataset.batches(100, epochs=1, seed=1, num_workers=1) as batches:
        for batch, other in zip(batches, expected, strict=True):
            assert set(batch) == {"image", "label", "weight"}
            for key, values in batch.items():
                np.testing.assert_array_equal(values, other[key])
