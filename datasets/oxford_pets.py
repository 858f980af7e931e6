"""Oxford-IIIT Pet: 37 breeds of cats and dogs. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from . import splits
from .annotated_dataset import AnnotatedDataset
from .annotations import label_of


@DATASET_REGISTRY.register()
class OxfordPets(AnnotatedDataset):
    """The pets; its static methods are the door through which CoOp's dataset files reach `splits`."""

    dataset_dir = "oxford_pets"
    split_file = "split_zhou_OxfordPets.json"
    trainval_file = "annotations/trainval.txt"
    test_file = "annotations/test.txt"
    entry_layout = "<Breed>_<number> <class from 1> <species> <breed>"
    layout = "oxford_pets/images/*.jpg, oxford_pets/annotations/{trainval,test}.txt or split_zhou_OxfordPets.json"
    source = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    published = {"classes": 37, "train": 2944, "val": 736, "test": 3669}

    def parse(self, line):
        image, number, _, _ = line.split()
        breed, _ = image.rsplit("_", 1)
        return f"{image}.jpg", label_of(number), breed.lower()

    @staticmethod
    def read_split(filepath, path_prefix):
        """Return (train, val, test) from a split file; see `splits.read_split`."""
        return splits.read_split(filepath, path_prefix)

    @staticmethod
    def save_split(train, val, test, filepath, path_prefix):
        """Write a split file; see `splits.write_split`."""
        splits.write_split((train, val, test), filepath, path_prefix)

    @staticmethod
    def split_trainval(trainval, p_val=splits.VAL_SHARE):
        """Return (train, val); see `splits.split_off_val`."""
        return splits.split_off_val(trainval, p_val)

    @staticmethod
    def subsample_classes(*args, subsample="all"):
        """Return the given lists with only the base or new classes; see `splits.subsample_classes`."""
        return splits.subsample_classes(args, subsample)
