"""What all datasets share: find the folder, get the split, draw the few shots, choose the classes."""

import os
from collections.abc import Callable
from functools import cached_property

from dassl.data.datasets import DatasetBase, Datum
from support.user_error import DataError, UserError

from .few_shot_file import find_file, read_few_shot, require_classes
from .splits import (
    Split,
    check_split,
    read_split,
    report_fewer_images,
    sample_few_shot,
    split_class_folders,
    split_hash,
    subsample_classes,
    write_split,
)

COOP_SPLITS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"


class SplitDataset(DatasetBase):
    """A dataset under `cfg.DATASET.ROOT`; a subclass states what differs.

    The steps come in the order of CoOp's dataset files, because the order decides which images are drawn: the split,
    then few shots of all classes (`DATASET.NUM_SHOTS`, `SEED`; or those that `DATASET.FEW_SHOT_FILE` lists), then the
    base or new classes (`DATASET.SUBSAMPLE_CLASSES`). A dataset that is `only_tested` skips the few shots, one that is
    `tested_whole` the choice of classes, too.

    Attributes of an instance: `dataset_dir`, `image_dir`, `split_path` (absolute paths), `split_hash`, `template`;
    `split_note`, what a person has to know of a split that they did not make.
    """

    dataset_dir = ""  # the dataset's folder under the data root
    image_subdir = "images"  # its folder with one folder of images per class
    split_file = ""  # name of its split file
    layout = ""  # what has to be under the data root, for the message about a missing folder
    source = ""  # where the data come from
    ignored_folders: tuple[str, ...] = ()  # folders in `image_subdir` that are not classes
    new_names: dict[str, str] = {}  # folder name: class name, where they differ
    template = ""  # hand-written prompt, {} is the class name; "": that of the method
    names_repeat = False  # whether classes may share a name, as a few of ImageNet's do
    only_tested = False  # whether there are no training images; train_x then is test, to tell the classes
    tested_whole = False  # whether it is tested on all of its classes whatever SUBSAMPLE_CLASSES says, as in CoOp
    split_note = ""
    saves_split = True  # whether a split that is made here is kept for the next run
    published: dict[str, int] = {}  # numbers of "classes", "train", "val" and "test" images, where they are known
    in_coops_paper = True  # whether these are those of CoOp's paper, as for the fifteen datasets of the field

    def __init__(self, cfg):
        self.locate(cfg)
        self.template = checked_template(cfg.DATASET.TEMPLATE) or self.template
        whole, val, test = self.whole_split()
        train, listed_in = whole, ""
        if not self.only_tested:
            train, val, listed_in = self._few_images(cfg, whole, val, test)
        if not self.tested_whole:  # the classes are those of all images: a file may list some classes alone
            whole, train, val, test = subsample_classes((whole, train, val, test), cfg.DATASET.SUBSAMPLE_CLASSES)
        elif cfg.DATASET.SUBSAMPLE_CLASSES != "all":
            print(f"notice: {type(self).__name__} is tested whole, DATASET.SUBSAMPLE_CLASSES is not applied")
        if listed_in:
            require_classes(train, whole, listed_in)
        if not cfg.DATASET.ONLY_TESTED:
            report_fewer_images(train, cfg.DATASET.NUM_SHOTS, type(self).__name__)
        if not test:
            raise DataError(f"{type(self).__name__}: the chosen classes have no test images: add some")
        super().__init__(train_x=train, val=val, test=test)

    def _few_images(
        self, cfg, train: list[Datum], val: list[Datum], test: list[Datum]
    ) -> tuple[list[Datum], list[Datum], str]:
        """Return the few-shot train and val lists, and the file that lists them, "" where they are drawn.

        A file that lists no val images leaves them as they are drawn. A run that only tests reads none.
        """
        shots, seed, value = cfg.DATASET.NUM_SHOTS, cfg.SEED, cfg.DATASET.FEW_SHOT_FILE
        drawn, drawn_val = self.few_shot(train, val, shots, seed)
        if not value or cfg.DATASET.ONLY_TESTED:
            return drawn, drawn_val, ""
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        path = find_file(value, self.dataset_dir, root, shots, seed)
        listed, listed_val = read_few_shot(path, (train, val, test), self.image_dir, shots)
        print(f"notice: trained on the {len(listed)} images that {path} lists")
        return listed, listed_val or drawn_val, path

    @classmethod
    def located(cls, cfg) -> "SplitDataset":
        """Return an instance that knows its paths but has read nothing and never writes: for looking at a data folder.

        Its `whole_split()` then tells what a run would find.
        """
        dataset = cls.__new__(cls)
        dataset.saves_split = False
        dataset.locate(cfg)
        return dataset

    def whole_split(self) -> Split:
        """Return (train, val, test), all classes, all images, checked."""
        self.prepare()
        split = self.load_split()
        check_split(split, type(self).__name__, self.names_repeat)
        return split

    @cached_property
    def split_hash(self) -> str:
        """SHA-256 over the images, labels and class names that this run uses."""
        return split_hash((self.train_x, self.val, self.test), self.image_dir)

    def locate(self, cfg) -> None:
        """Set `dataset_dir`, `image_dir` and `split_path`."""
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        self.dataset_dir = os.path.join(root, self.dataset_dir)
        self.image_dir = os.path.normpath(os.path.join(self.dataset_dir, self.image_subdir))
        self.split_path = os.path.join(self.dataset_dir, self.split_file)

    def prepare(self) -> None:
        """Make sure that the data are there."""
        self.require(self.image_dir)

    def require(self, path: str) -> None:
        """Raise a UserError unless `path` exists: with the expected layout, or that permission is lacking."""
        try:
            os.stat(path)
        except PermissionError as error:
            raise DataError(
                f"{type(self).__name__}: {path} cannot be reached ({error.strerror}): mend its permissions"
            ) from error
        except OSError as error:
            raise DataError(
                f"{type(self).__name__}: {path} is missing; expected under the data root (--root): {self.layout}; "
                f"official source: {self.source}"
            ) from error

    def load_split(self) -> Split:
        """Return (train, val, test), all classes, all images."""
        return self.read_or_build(
            lambda: split_class_folders(self.image_dir, ignored=self.ignored_folders, new_names=self.new_names)
        )

    def few_shot(self, train: list[Datum], val: list[Datum], shots: int, seed: int) -> tuple[list[Datum], list[Datum]]:
        """Return the few-shot train and val lists."""
        return sample_few_shot(train, val, shots, seed)

    def read_or_build(self, build: Callable[[], Split]) -> Split:
        """Read the split file; where there is none, build the split and save it for the next run."""
        if os.path.exists(self.split_path):
            return read_split(self.split_path, self.image_dir)
        split = build()
        if not self.saves_split:
            return split
        try:
            write_split(split, self.split_path, self.image_dir)
        except UserError as error:
            # A folder that may only be read is fine: the split comes out the same each time.
            print(f"notice: the split is not saved ({error})")
        else:
            print(f"notice: made the split {self.split_path}{self.advice_on_split()}")
        return split

    def advice_on_split(self) -> str:
        """Return what to say after the path of a split that was made here."""
        return f"; to compare with published numbers use CoOp's own {self.split_file}, see {COOP_SPLITS}"


def checked_template(template: str) -> str:
    """Return `DATASET.TEMPLATE`, a hand-written prompt with one "{}" for the class name, or "" for none.

    Raises:
        UserError: there is not exactly one "{}".
    """
    if template and template.count("{}") != 1:
        raise DataError(
            f'DATASET.TEMPLATE is "{template}": write one {{}} where the class name goes, as in "a photo of a {{}}."'
        )
    return template
