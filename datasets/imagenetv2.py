"""ImageNetV2: new test images for ImageNet, drawn as the old ones were ("matched frequency")."""

import os

from dassl.data.datasets import DATASET_REGISTRY
from support.user_error import DataError

from .imagenet_family import ImageNetVariant, read_classnames
from .splits import list_folders


@DATASET_REGISTRY.register()
class ImageNetV2(ImageNetVariant):
    """All classes of ImageNet; a folder's name is the place of its class in `classnames.txt`, from 0."""

    dataset_dir = "imagenetv2"
    image_subdir = "imagenetv2-matched-frequency-format-val"
    layout = (
        "imagenetv2/imagenetv2-matched-frequency-format-val/<0 to 999>/*.jpeg, imagenetv2/classnames.txt (a copy of "
        "imagenet/classnames.txt)"
    )
    source = "https://github.com/modestyachts/ImageNetV2"
    published = {"classes": 1000, "test": 10000}

    def class_folders(self, parent: str) -> dict[str, str]:
        path = self.classnames_path()
        folders = {str(place): classname for place, classname in enumerate(read_classnames(path).values())}
        for folder in list_folders(parent):
            if folder not in folders:
                raise DataError(
                    f"{os.path.join(parent, folder)}: {path} has {len(folders)} classes, so folders must be named 0 "
                    f"to {len(folders) - 1}: complete the file or remove the folder"
                )
        return folders
