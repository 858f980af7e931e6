"""SUN397: 397 scenes. Class names and order as in CoOp."""

from posixpath import dirname

from dassl.data.datasets import DATASET_REGISTRY

from .annotated_dataset import AnnotatedDataset
from .annotations import parse_lines


@DATASET_REGISTRY.register()
class SUN397(AnnotatedDataset):
    """Scenes; `/a/apse/indoor` is named "indoor apse". The first of the ten official partitions is used."""

    dataset_dir = "sun397"
    image_subdir = "SUN397"
    split_file = "split_zhou_SUN397.json"
    class_file = "ClassName.txt"
    trainval_file = "Training_01.txt"
    test_file = "Testing_01.txt"
    entry_layout = "/<letter>/<class>/<image>"
    layout = (
        "sun397/SUN397/<letter>/<class>/*.jpg, sun397/{ClassName,Training_01,Testing_01}.txt or split_zhou_SUN397.json"
    )
    source = (
        "https://vision.princeton.edu/projects/2010/SUN/, whose links are reported dead: python -m datasets.prepare "
        "sun397 --from huggingface fetches a copy"
    )
    published = {"classes": 397, "train": 15880, "val": 3970, "test": 19850}

    def read_classes(self, path):
        def parse(line):
            _, _, word, *words = line.split("/")
            return line[1:], " ".join([*reversed(words), word])

        classes = parse_lines(path, parse, "/<letter>/<class>")
        return {key: (label, name) for label, (key, name) in enumerate(classes)}

    def parse(self, line):
        image = line.removeprefix("/")
        return image, *self.class_of(dirname(image))
