import pytest

from datasets.dtd import DescribableTextures
from datasets.oxford_pets import OxfordPets
from datasets.splits import ListedImage


@pytest.fixture
def pets(make_images):
    breeds = {"Bengal": 1, "yorkshire_terrier": 2}
    folder = make_images("oxford_pets", {"images": [f"{b}_{n}.jpg" for b in breeds for n in range(15)]})
    (folder / "annotations").mkdir()
    for name, numbers in (("trainval", range(10)), ("test", range(10, 15))):
        lines = [f"{breed}_{n} {label} 1 1\n" for n in numbers for breed, label in breeds.items()]
        (folder / "annotations" / f"{name}.txt").write_text("".join(lines) + "\n")
    return folder


def test_annotations_give_parts_and_lower_case_names(pets, build):
    dataset = build("OxfordPets")
    assert dataset.classnames == ["bengal", "yorkshire_terrier"]
    assert [len(part) for part in (dataset.train_x, dataset.val, dataset.test)] == [16, 4, 10]


def test_a_dataset_file_written_for_coop_finds_what_it_calls(tmp_path, make_images):
    """The calls, positional and by keyword, that CoOp's dataset files make of their two helpers."""
    image_dir = str(make_images("food/images", {"apple_pie": 10, "ramen": 10, "thumbs": 1}))
    split = DescribableTextures.read_and_split_data(image_dir, ignored=["thumbs"], new_cnames={"ramen": "noodle soup"})
    path = str(tmp_path / "food/split.json")
    OxfordPets.save_split(*split, path, image_dir)
    train, val, test = OxfordPets.read_split(path, image_dir)
    assert [[item.impath for item in part] for part in (train, val, test)] == [
        [item.impath for item in part] for part in split
    ]
    train, val, test = OxfordPets.subsample_classes(train, val, test, subsample="new")
    assert {(item.label, item.classname) for item in train} == {(0, "noodle soup")}
    trainval = [ListedImage(f"{n}.jpg", label=0, classname="a") for n in range(10)]
    assert [len(part) for part in OxfordPets.split_trainval(trainval)] == [8, 2]
    assert [len(part) for part in OxfordPets.split_trainval(trainval, p_val=0.5)] == [5, 5]
