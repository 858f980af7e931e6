"""Oxford-IIIT Pet: 37 breeds of cats and dogs. Class names and order as in CoOp."""

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from user_error import UserError

from . import splits
from .split_dataset import SplitDataset


@DATASET_REGISTRY.register()
class OxfordPets(SplitDataset):
    """The pets; its static methods are the door through which CoOp's dataset files reach `splits`."""

    dataset_dir = "oxford_pets"
    split_file = "split_zhou_OxfordPets.json"
    layout = "oxford_pets/images/*.jpg, oxford_pets/annotations/{trainval,test}.txt"
    source = "https://www.robots.ox.ac.uk/~vgg/data/pets/"

    def load_split(self) -> splits.Split:
        return self.read_or_build(
            lambda: (*splits.split_off_val(self.read_annotation("trainval.txt")), self.read_annotation("test.txt"))
        )

    def read_annotation(self, name: str) -> list[Datum]:
        """Read an annotation file: lines of `<Breed>_<number> <class from 1> <species> <breed>`."""
        path = os.path.join(self.dataset_dir, "annotations", name)
        self.require(path)
        items = []
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    image, label, _, _ = line.split()
                    breed, _ = image.rsplit("_", 1)
                    label = int(label) - 1
                except ValueError as error:
                    raise UserError(f"{path}, line {number}: no annotation of a pet: get the file again") from error
                items.append(Datum(os.path.join(self.image_dir, image + ".jpg"), label, classname=breed.lower()))
        return items

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
