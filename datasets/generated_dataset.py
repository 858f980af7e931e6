"""Datasets that are not downloaded but written once under the data root by code in this repository."""

import os
import tempfile
from abc import abstractmethod

from support.user_error import DataError

from .split_dataset import SplitDataset
from .splits import Split, write_split


class GeneratedDataset(SplitDataset):
    """A dataset whose images and split file are written on first use.

    Everything is written into a hidden temporary folder beside the final one, the one with the split file, and moved
    there in one step, so a folder with the final name is always complete: a killed run leaves nothing behind that looks
    like data, and of two runs that start together the slower one drops its copy.
    """

    def require_sources(self) -> None:  # noqa: B027
        """Raise a UserError unless the files are there from which the images are made; most need none."""

    @abstractmethod
    def generate(self, image_dir: str) -> Split:
        """Write the images under the empty folder `image_dir` and return the split; must be deterministic."""

    def prepare(self) -> None:
        """Write the dataset unless it is there."""
        if os.path.isfile(self.split_path):
            return
        self.require_sources()
        written_dir, split_file = os.path.split(self.split_path)
        parent, name = os.path.split(written_dir)
        print(f"notice: writing {type(self).__name__} to {written_dir}, once")
        try:
            os.makedirs(parent, exist_ok=True)
            # The temporary folder is private; the one inside gets the permissions that are usual here.
            with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as temporary_dir:
                new_dir = os.path.join(temporary_dir, name)
                image_dir = os.path.normpath(os.path.join(new_dir, os.path.relpath(self.image_dir, written_dir)))
                os.makedirs(image_dir)
                split = self.generate(image_dir)
                write_split(split, os.path.join(new_dir, split_file), image_dir)
                os.rename(new_dir, written_dir)
        except OSError as error:
            if os.path.isfile(self.split_path):
                return  # Another run was faster.
            if os.path.isdir(written_dir):
                raise DataError(
                    f"{written_dir} is incomplete, {split_file} is missing: delete that folder, it will be written "
                    "again"
                ) from error
            raise DataError(
                f"{written_dir} cannot be written ({error.strerror or error}): choose another --root"
            ) from error
