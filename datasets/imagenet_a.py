"""ImageNet-A: photographs of 200 of ImageNet's classes that models of its time got wrong."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet_family import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetA(ImageNetVariant):
    """Adversarial, but not altered; labels are the places of the sorted folders."""

    dataset_dir = "imagenet-adversarial"
    image_subdir = "imagenet-a"
    layout = (
        "imagenet-adversarial/imagenet-a/<wnid>/*.jpg, imagenet-adversarial/classnames.txt (a copy of "
        "imagenet/classnames.txt)"
    )
    source = "https://github.com/hendrycks/natural-adv-examples"
    published = {"classes": 200, "test": 7500}
