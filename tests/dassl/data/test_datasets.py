import pickle
import random

import pytest

from dassl.config import get_cfg_default
from dassl.data.datasets import DatasetBase, Datum, build_dataset
from dassl.utils import UserError


@pytest.fixture
def items(tmp_path):
    """Ten items of each of the labels 2, 0, 1, in this order, and two of label 3."""
    path = tmp_path / "image.png"
    path.touch()
    labels = [2] * 10 + [0] * 10 + [1] * 10 + [3] * 2
    return [Datum(str(path), label=label, domain=i % 2, classname=f"class {label}") for i, label in enumerate(labels)]


def positions(items, subset):
    return [items.index(item) for item in subset]


def test_few_shot_draws_come_from_the_global_stream_in_order_of_first_appearance(items):
    random.seed(7)
    expected = [start + offset for start in (0, 10, 20) for offset in random.sample(range(10), 4)] + [30, 31]
    after = random.random()
    random.seed(7)
    subset = DatasetBase.generate_fewshot_dataset(DatasetBase(train_x=items), items, num_shots=4)
    assert positions(items, subset) == expected
    assert random.random() == after


def test_few_shot_of_several_sources_draws_them_one_after_the_other(items):
    dataset = DatasetBase(train_x=items)
    random.seed(7)
    both = dataset.generate_fewshot_dataset(items, items, num_shots=2)
    random.seed(7)
    assert both == [dataset.generate_fewshot_dataset(items, num_shots=2) for _ in range(2)]


def test_few_shot_repeat_fills_up_small_classes(items):
    subset = DatasetBase(train_x=items).generate_fewshot_dataset(items, num_shots=5, repeat=True)
    assert [item.label for item in subset] == [2] * 5 + [0] * 5 + [1] * 5 + [3] * 5


def test_no_shots_gives_the_sources_back(items):
    dataset = DatasetBase(train_x=items)
    assert dataset.generate_fewshot_dataset(items, num_shots=-1) is items
    first, second = dataset.generate_fewshot_dataset(items, items[:3], num_shots=0)
    assert first is items and len(second) == 3


def test_classes_are_those_of_the_training_images(items):
    dataset = DatasetBase(train_x=items, test=items[:3])
    assert dataset.num_classes == 4
    assert dataset.classnames == ["class 0", "class 1", "class 2", "class 3"]
    assert dataset.lab2cname[2] == "class 2"
    assert len(dataset.test) == 3 and dataset.val is None and dataset.train_u is None


def test_splitting_by_label_and_domain(items):
    dataset = DatasetBase(train_x=items)
    assert list(dataset.split_dataset_by_label(items)) == [2, 0, 1, 3]
    assert [len(group) for group in dataset.split_dataset_by_domain(items).values()] == [16, 16]


def test_class_without_training_image_is_an_error(items):
    with pytest.raises(UserError, match="class 1 of 4 has no training image"):
        DatasetBase(train_x=[item for item in items if item.label != 1])
    with pytest.raises(UserError, match="no training images"):
        DatasetBase(train_x=[])


def test_test_image_of_an_unknown_class_is_an_error(items):
    with pytest.raises(UserError, match=r'test split has class 3 \("class 3"\)'):
        DatasetBase(train_x=items[:30], test=items)


def test_missing_image_is_an_error(tmp_path):
    with pytest.raises(UserError, match="image not found: .*gone.png"):
        Datum(str(tmp_path / "gone.png"))


def test_domains_are_checked(items):
    dataset = DatasetBase(train_x=items)
    dataset.domains = ["photo", "sketch"]
    dataset.check_input_domains(["photo"], ["sketch"])
    with pytest.raises(UserError, match='no domain "skech"'):
        dataset.check_input_domains(["photo"], ["skech"])
    with pytest.raises(UserError, match="DATASET.TARGET_DOMAINS is empty"):
        dataset.check_input_domains(["photo"], [])


def test_subsets_pickled_by_upstreams_dataset_files_can_be_read_by_them(items):
    assert Datum.__module__ == "dassl.data.datasets.base_dataset"
    assert set(vars(items[0])) == {"_impath", "_label", "_domain", "_classname"}
    assert pickle.loads(pickle.dumps(items[0])).label == 2


def test_unknown_dataset_is_an_error():
    cfg = get_cfg_default()
    cfg.DATASET.NAME = "squares"
    with pytest.raises(UserError, match='unknown dataset "squares" .did you mean "Squares"'):
        build_dataset(cfg)
