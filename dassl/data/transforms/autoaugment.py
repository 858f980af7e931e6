"""AutoAugment's learned policies, by torchvision: Cubuk et al., CVPR 2019."""

from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

Colour = tuple[int, int, int]
GREY = (128, 128, 128)


class ImageNetPolicy(AutoAugment):
    """A random one of the policies found on ImageNet; ``fillcolor`` where an image was moved or turned away."""

    def __init__(self, fillcolor: Colour = GREY):
        super().__init__(AutoAugmentPolicy.IMAGENET, fill=list(fillcolor))


class CIFAR10Policy(AutoAugment):
    """The same of CIFAR-10."""

    def __init__(self, fillcolor: Colour = GREY):
        super().__init__(AutoAugmentPolicy.CIFAR10, fill=list(fillcolor))


class SVHNPolicy(AutoAugment):
    """The same of SVHN."""

    def __init__(self, fillcolor: Colour = GREY):
        super().__init__(AutoAugmentPolicy.SVHN, fill=list(fillcolor))
