"""UCF101: 101 human actions, the middle frame of each video. Class names and order as in CoOp."""

import re

from dassl.data.datasets import DATASET_REGISTRY

from .annotated_dataset import AnnotatedDataset
from .annotations import label_of, parse_lines


@DATASET_REGISTRY.register()
class UCF101(AnnotatedDataset):
    """Actions; folders and classes are named `Yo_Yo` for the action `YoYo`. The first official split is used."""

    dataset_dir = "ucf101"
    image_subdir = "UCF-101-midframes"
    split_file = "split_zhou_UCF101.json"
    class_file = "ucfTrainTestlist/classInd.txt"
    trainval_file = "ucfTrainTestlist/trainlist01.txt"
    test_file = "ucfTrainTestlist/testlist01.txt"
    entry_layout = "<action>/<video>.avi"
    layout = (
        "ucf101/UCF-101-midframes/<class>/*.jpg, ucf101/ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt or "
        "split_zhou_UCF101.json"
    )
    source = "https://www.crcv.ucf.edu/data/UCF101.php"
    published = {"classes": 101, "train": 7639, "val": 1898, "test": 3783}

    def read_classes(self, path):
        def parse(line):
            number, action = line.split()
            return action, (label_of(number), re.sub("(?<=.)(?=[A-Z])", "_", action))

        return dict(parse_lines(path, parse, "<class from 1> <action>"))

    def parse(self, line):
        action, video = line.split()[0].split("/")
        label, name = self.class_of(action)
        return f"{name}/{video.replace('.avi', '.jpg')}", label, name
