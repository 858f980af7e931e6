"""ImageNet-R: paintings, toys, tattoos and other renditions of 200 of ImageNet's classes."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet_family import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetR(ImageNetVariant):
    """Renditions; labels are the places of the sorted folders."""

    dataset_dir = "imagenet-rendition"
    image_subdir = "imagenet-r"
    layout = (
        "imagenet-rendition/imagenet-r/<wnid>/*.jpg, imagenet-rendition/classnames.txt (a copy of "
        "imagenet/classnames.txt)"
    )
    source = "https://github.com/hendrycks/imagenet-r"
    published = {"classes": 200, "test": 30000}
