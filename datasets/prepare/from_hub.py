"""Fetching the copies of datasets from the Hugging Face Hub: what there is, how large, and how it is laid out.

huggingface_hub tells sizes, hashes and addresses, and knows a mirror (HF_ENDPOINT) and a token. The archives themselves
come through `support.verified_download`: hf_hub_download begins a killed download anew (its 2.4 writes each try into a
file of its own), and here one archive has 40 GB.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import redirect_stdout
from urllib.parse import urlsplit

from tabulate import tabulate

from clip.formats.hub import reason
from datasets.hub_copies import HUB_COPIES, REPOSITORY
from datasets.sources import Archive, downloads_folder, in_bytes
from datasets.split_dataset import SplitDataset
from support.user_error import DataError, DownloadError, UserError
from support.verified_download import require_space

from .archives import existing_folder, list_files, read_file, unpack_as
from .find_layout import find_layout
from .layout import FETCHED

MOST_SPLIT = 2**28  # bytes of a split file; the largest has a few million
_TIMEOUT = 10  # seconds until the Hub answers


def listing(names: Iterable[str]) -> dict[str, Archive]:
    """Return {dataset: its archive, with address, size and hash} as the Hub tells them, in one request.

    All come from one commit, so that a change of the repository meanwhile mixes nothing.

    Raises:
        UserError: the Hub is out of reach, or has not these files.
    """
    from huggingface_hub import HfApi, constants, hf_hub_url

    try:
        info = HfApi().model_info(REPOSITORY, files_metadata=True, timeout=_TIMEOUT)
    except Exception as error:  # of huggingface_hub and its HTTP library
        raise DownloadError(
            f"cannot list {constants.ENDPOINT}/{REPOSITORY} ({reason(error, REPOSITORY)}): mend the connection, or "
            "name a mirror of the Hub by HF_ENDPOINT"
        ) from error
    files = {file.rfilename: file for file in info.siblings or ()}
    found = {}
    for name in names:
        copy = HUB_COPIES[name]
        file = files.get(copy.file)
        if file is None or file.lfs is None:
            what = "no hash of its" if file else "no"
            raise DownloadError(f"{constants.ENDPOINT}/{REPOSITORY} has {what} {copy.file}: get {name} in another way")
        url = hf_hub_url(REPOSITORY, copy.file, revision=info.sha)
        found[name] = Archive(copy.file, f"sha256:{file.lfs.sha256}", file.lfs.size, url, parts=copy.needs)
    return found


def scheme_of(archive: Archive) -> str:
    """The scheme under which an archive is fetched: that of HF_ENDPOINT, https unless a mirror has another."""
    return urlsplit(archive.url).scheme or "https"


def announce(archives: dict[str, Archive], root: str) -> None:
    """Print what will be fetched, and how large it is.

    Raises:
        UserError: the disk has no room for all of it.
    """
    rows = [[name, archive.name, in_bytes(archive.size)] for name, archive in archives.items()]
    print(f"from {next(iter(archives.values())).url.partition('/resolve/')[0]}:")
    print(tabulate(rows, headers=("dataset", "file", "size"), colalign=("left", "left", "right")))
    here = sum(_size_here(root, name, archive) for name, archive in archives.items())
    sizes = [archive.size for archive in archives.values()]
    place = existing_folder(os.path.abspath(root))
    # archives are deleted one by one as they are unpacked, and images hardly shrink when they are packed
    needed = sum(sizes) + max(sizes) - here
    print(f"to fetch: {in_bytes(sum(sizes) - here)}; room needed: {in_bytes(needed)}", flush=True)
    require_space(place, needed, "laying all of it out")


def lay_out_copy(archive: Archive, file: str, staging: str, dataset: SplitDataset) -> None:
    """Write what a dataset consists of from an archive into ``staging``, as the dataset's folder, and read it there.

    Args:
        dataset: where it will be; only its class and its names of folders are used.

    Raises:
        UserError: the archive is damaged or refused, or does not hold the dataset; nothing is written then.
    """
    kind = type(dataset)
    try:
        targets = find_layout(
            list_files(file, archive.name),
            kind,
            archive.parts,
            lambda path: read_file(file, archive.name, path, MOST_SPLIT),
        )
    except DataError as error:
        if archive.name in str(error):  # of the archive itself
            raise
        raise DataError(f"{file} is not {kind.__name__} as CoOp lays it out: {error}; nothing was unpacked") from error
    unpack_as(file, staging, archive.name, targets)
    _read(dataset, file, staging)


def _read(dataset: SplitDataset, file: str, staging: str) -> None:
    """UserError unless the dataset can be read from ``staging``; ImageNet's variants need names that are elsewhere."""
    if dataset.only_tested:
        return
    found = type(dataset).__new__(type(dataset))
    found.__dict__ |= dataset.__dict__
    found.dataset_dir = staging
    found.image_dir = os.path.normpath(os.path.join(staging, dataset.image_subdir))
    found.split_path = os.path.join(staging, dataset.split_file)
    try:
        with redirect_stdout(io.StringIO()):
            found.whole_split()
    except UserError as error:
        told = str(error).replace(staging, dataset.dataset_dir)
        raise DataError(f"{file} is not laid out, as it cannot be read: {told}") from error


def _size_here(root: str, name: str, archive: Archive) -> int:
    """Bytes of an archive that are here already."""
    files = [os.path.join(downloads_folder(root, name), archive.name + end) for end in ("", FETCHED, f"{FETCHED}.part")]
    return min(archive.size, max((os.path.getsize(file) for file in files if os.path.isfile(file)), default=0))
