"""ImageNet-Sketch: drawings of ImageNet's 1,000 classes."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet_family import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetSketch(ImageNetVariant):
    """Black and white drawings found on the web."""

    dataset_dir = "imagenet-sketch"
    layout = "imagenet-sketch/images/<wnid>/*.JPEG, imagenet-sketch/classnames.txt (a copy of imagenet/classnames.txt)"
    source = "https://github.com/HaohanWang/ImageNet-Sketch"
    published = {"classes": 1000, "test": 50889}
