"""What a dataset is to a trainer: lists of labelled image files."""

import os
import random
from collections import defaultdict

from dassl.utils import DataError, check_isfile

__all__ = ["DatasetBase", "Datum", "check_isfile"]


class Datum:
    """One image.

    Args:
        impath: path of the image file.
        label: class, counted from 0.
        domain: domain, counted from 0.
        classname: name of the class.

    Raises:
        UserError: there is no such file.
    """

    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = ""):
        if not os.path.isfile(impath):
            raise DataError(f"image not found: {impath}: put it there, or take it out of the dataset")
        self._impath = impath
        self._label = label
        self._domain = domain
        self._classname = classname

    @property
    def impath(self) -> str:
        return self._impath

    @property
    def label(self) -> int:
        return self._label

    @property
    def domain(self) -> int:
        return self._domain

    @property
    def classname(self) -> str:
        return self._classname

    def __repr__(self) -> str:
        return f"Datum({self.impath!r}, label={self.label}, domain={self.domain}, classname={self.classname!r})"


class DatasetBase:
    """The splits of a dataset. Its classes are those of ``train_x``.

    A subclass with ``images_as_shown`` has its images read as a viewer shows them: turned as their EXIF data say,
    transparent parts on white, see `dassl.utils.read_image`. Without it, which is right for published datasets and what
    a third party's dataset file gets, they are read as upstream Dassl reads them.

    Args:
        train_x: labelled training images.
        train_u: unlabelled ones, if any.
        val: validation images, if any.
        test: test images.

    Raises:
        UserError: a class has no training image.
    """

    dataset_dir = ""  # the dataset's folder under DATASET.ROOT
    domains: list[str] = []
    images_as_shown = False

    def __init__(
        self,
        train_x: list[Datum] | None = None,
        train_u: list[Datum] | None = None,
        val: list[Datum] | None = None,
        test: list[Datum] | None = None,
    ):
        if not train_x:
            raise DataError(f"{type(self).__name__}: there are no training images: add some")
        self._train_x = train_x
        self._train_u = train_u
        self._val = val
        self._test = test
        self._num_classes = self.get_num_classes(train_x)
        self._lab2cname, self._classnames = self.get_lab2cname(train_x)
        self._check_labels()

    @property
    def train_x(self):
        return self._train_x

    @property
    def train_u(self):
        return self._train_u

    @property
    def val(self):
        return self._val

    @property
    def test(self):
        return self._test

    @property
    def lab2cname(self) -> dict[int, str]:
        return self._lab2cname

    @property
    def classnames(self) -> list[str]:
        """Class names in the order of their labels."""
        return self._classnames

    @property
    def num_classes(self) -> int:
        return self._num_classes

    def _check_labels(self) -> None:
        for label in range(self.num_classes):
            if label not in self.lab2cname:
                raise DataError(
                    f"{type(self).__name__}: class {label} of {self.num_classes} has no training image: add one"
                )
        for split, items in (("val", self.val), ("test", self.test)):
            for item in items or ():
                if item.label not in self.lab2cname:
                    raise DataError(
                        f"{type(self).__name__}: {item.impath} in the {split} split has class {item.label} "
                        f'("{item.classname}"), but the training images have {self.num_classes} classes: correct the '
                        "split"
                    )

    @staticmethod
    def get_num_classes(data_source: list[Datum]) -> int:
        return max(item.label for item in data_source) + 1

    @staticmethod
    def get_lab2cname(data_source: list[Datum]) -> tuple[dict[int, str], list[str]]:
        """Return the name of each label, and the names in the order of the labels."""
        mapping: dict[int, str] = {}
        for item in data_source:
            mapping.setdefault(item.label, item.classname)
        return mapping, [mapping[label] for label in sorted(mapping)]

    def check_input_domains(self, source_domains: list[str], target_domains: list[str]) -> None:
        """Raise UserError unless both lists name domains of this dataset."""
        for key, names in (("DATASET.SOURCE_DOMAINS", source_domains), ("DATASET.TARGET_DOMAINS", target_domains)):
            if not names:
                raise DataError(f"{key} is empty; choose from {self.domains}")
            self.is_input_domain_valid(names)

    def is_input_domain_valid(self, input_domains: list[str]) -> None:
        for domain in input_domains:
            if domain not in self.domains:
                raise DataError(f'{type(self).__name__} has no domain "{domain}"; choose from {self.domains}')

    def download_data(self, url: str, dst: str, from_gdrive: bool = True) -> None:
        """Say where to get the archive ``dst``. Nothing is fetched, because nothing tells what it must hold.

        Raises:
            UserError: always.
        """
        raise DataError(
            f"{type(self).__name__}: {os.path.dirname(dst)} is missing: download {url}, and unpack it there"
        )

    def generate_fewshot_dataset(self, *data_sources: list[Datum], num_shots: int = -1, repeat: bool = False):
        """Draw ``num_shots`` items of each class, in the order in which the classes first appear.

        Draws come from Python's global ``random``, so that a dataset file written for upstream, run after
        ``random.seed(seed)``, gets the subset it got there.

        Args:
            data_sources: lists to draw from, one after the other.
            num_shots: items per class; below 1 nothing is drawn and the lists come back whole.
            repeat: fill up a class that has fewer by drawing with replacement; otherwise all of it is taken.

        Returns:
            One list for one source, else a list of lists (a tuple where nothing is drawn).
        """
        if num_shots < 1:
            return data_sources[0] if len(data_sources) == 1 else data_sources
        print(f"Creating a {num_shots}-shot dataset")
        subsets = [self._draw(data_source, num_shots, repeat) for data_source in data_sources]
        return subsets[0] if len(subsets) == 1 else subsets

    def _draw(self, data_source: list[Datum], num_shots: int, repeat: bool) -> list[Datum]:
        subset = []
        for items in self.split_dataset_by_label(data_source).values():
            if len(items) >= num_shots:
                items = random.sample(items, num_shots)
            elif repeat:
                items = random.choices(items, k=num_shots)
            subset.extend(items)
        return subset

    def split_dataset_by_label(self, data_source: list[Datum]) -> dict[int, list[Datum]]:
        return self._group(data_source, "label")

    def split_dataset_by_domain(self, data_source: list[Datum]) -> dict[int, list[Datum]]:
        return self._group(data_source, "domain")

    @staticmethod
    def _group(data_source: list[Datum], attribute: str) -> dict[int, list[Datum]]:
        groups = defaultdict(list)
        for item in data_source:
            groups[getattr(item, attribute)].append(item)
        return groups
