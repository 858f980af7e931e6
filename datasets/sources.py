"""What is fetched from where: the archives of the data sets, and the files that a person has to bring.

Where the facts come from:

- URLs: torchvision's datasets, TensorFlow Datasets (its checksums.tsv and url_checksums/) and CoOp's DATASETS.md.
- sha256 and sizes: TensorFlow Datasets, which publishes them for the same files; of ImageNet-Sketch for the file on
  Google Drive, here fetched from the copy of one of its authors on Hugging Face, as Drive cannot be read by programs.
- Fashion-MNIST: its authors serve the files over http alone, so they come from their repository on GitHub, at its last
  commit. The files with labels there have the hashes that TensorFlow Datasets publishes.
- md5 of EuroSAT: torchvision. md5 of FGVC-Aircraft: mlverse's torchvision for R and DeepMind's dm_nevis, which agree
  (TensorFlow Datasets has the hash of the unpacked .tar); its size is that which the server gives.
- Links to Google Drive: CoOp's DATASETS.md. No hashes of these files are published, so they are not fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from datasets.hub_copies import HUB_COPIES, PAGE
from support.verified_download import describe


@dataclass(frozen=True)
class Archive:
    """A published file and where its content belongs.

    Attributes:
        name: of the file.
        digest: "sha256:<hex>" or "md5:<hex>".
        size: bytes.
        url: "" if it is no longer served.
        folder: the folder in the archive whose content is taken; "" for all.
        to: the folder in the data set's folder where that content goes; "" for that folder itself.
        inner: an archive in the archive, which is the one to unpack.
        parts: what of the content counts, where it goes to the data set's folder itself.
    """

    name: str
    digest: str
    size: int
    url: str = ""
    folder: str = ""
    to: str = ""
    inner: str = ""
    parts: tuple[str, ...] = ()

    @property
    def gives(self) -> tuple[str, ...]:
        """What has to be in the data set's folder for the archive to count as laid out."""
        return self.parts or (self.to or self.name,)

    @property
    def is_packed(self) -> bool:
        """Whether it has to be unpacked, and is not the wanted file itself."""
        return self.name.endswith((".zip", ".tar", ".tgz", ".tar.gz"))

    def is_laid_out(self, dataset_dir: str) -> bool:
        """Whether all that it gives is in the folder of the data set."""
        return all(is_there(os.path.join(dataset_dir, path)) for path in self.gives)


@dataclass(frozen=True)
class Source:
    """What makes up a data set.

    Attributes:
        archives: what a program can fetch, or unpack where a person brings it.
        by_hand: path in the data set's folder: where to get it, for what no program can fetch.
        note: why archives without a URL have none.
    """

    archives: tuple[Archive, ...] = ()
    by_hand: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def missing_archives(self, dataset_dir: str) -> list[Archive]:
        """Return the archives whose content is not in the data set's folder."""
        return [archive for archive in self.archives if not archive.is_laid_out(dataset_dir)]

    def ways_to_get(self, name: str, root: str, dataset_dir: str) -> list[str]:
        """Return a sentence for each thing that is missing: how to get it."""
        ways, missing = [], self.missing_archives(dataset_dir)
        fetched = [archive for archive in missing if archive.url]
        brought = [
            f"{archive.name} ({in_bytes(archive.size)}, {describe(archive.digest)})"
            for archive in missing
            if not archive.url
        ]
        command = f"python -m datasets.prepare {name} --root {root}"
        if fetched:
            ways.append(f"fetch it ({in_bytes(sum(archive.size for archive in fetched))}): {command}")
        if brought:
            ways.append(
                f"{self.note}: put {', '.join(brought)} into {downloads_folder(root, name)}; then {command} checks and "
                "unpacks what is there"
            )
        return ways + self.files_to_bring(dataset_dir) + copies_to_fetch(name, root, dataset_dir)

    def files_to_bring(self, dataset_dir: str) -> list[str]:
        """Return a sentence for each missing file that only a person can get."""
        paths = {os.path.normpath(os.path.join(dataset_dir, path)): where for path, where in self.by_hand.items()}
        return [f"get {path} from {where}" for path, where in paths.items() if not is_there(path)]


def copies_to_fetch(name: str, root: str, dataset_dir: str) -> list[str]:
    """Return how to get the images, where they are missing, from the copies on the Hugging Face Hub."""
    copy = HUB_COPIES.get(name)
    images = [path for path in copy.needs if not path.endswith(".json")] if copy else []
    if all(is_there(os.path.join(dataset_dir, path)) for path in images):
        return []
    return [
        f"or fetch what is missing from {PAGE}, a copy that others keep: python -m datasets.prepare {name} "
        f"--from huggingface --root {root}"
    ]


def is_there(path: str) -> bool:
    """Whether ``path`` is a file or a folder that is not empty; one that may not be listed counts as filled."""
    try:
        return os.path.isfile(path) or (os.path.isdir(path) and bool(os.listdir(path)))
    except PermissionError:
        return True


def downloads_folder(root: str, name: str) -> str:
    """Return the folder where the archives of a data set are put, by a program or a person."""
    return os.path.join(os.path.abspath(os.path.expanduser(root)), "downloads", name)


def in_bytes(size: int) -> str:
    """Return a size such as "1.3 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _drive(identifier: str) -> str:
    return f"https://drive.google.com/file/d/{identifier}/view"


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
_FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion"
# ImageNet's serves the variants, too.
_CLASSNAMES = {"../imagenet/classnames.txt": _drive("1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF")}

SOURCES = {
    "imagenet": Source(
        by_hand={
            "images/train": "https://image-net.org (needs an account): ILSVRC2012_img_train.tar "
            "(md5 1d675b47d978889d74fa0da5fadfb00e), one folder per class",
            "images/val": "https://image-net.org (needs an account): ILSVRC2012_img_val.tar "
            "(md5 29b22e2961454d5413ddabcf34fc5622), sorted into one folder per class",
            **_CLASSNAMES,
        },
    ),
    "caltech101": Source(
        archives=(
            Archive(
                name="caltech-101.zip",
                digest="sha256:331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
                size=137_414_764,
                url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                inner="caltech-101/101_ObjectCategories.tar.gz",
                folder="101_ObjectCategories",
                to="101_ObjectCategories",
            ),
        ),
        by_hand={"split_zhou_Caltech101.json": _drive("1hyarUivQE36mY6jSomru6Fjd-JzwcCzN")},
    ),
    "oxford_pets": Source(
        archives=(
            Archive(
                name="images.tar.gz",
                digest="sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                size=791_918_971,
                url=f"{_OXFORD}/pets/data/images.tar.gz",
                folder="images",
                to="images",
            ),
            Archive(
                name="annotations.tar.gz",
                digest="sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                size=19_173_078,
                url=f"{_OXFORD}/pets/data/annotations.tar.gz",
                folder="annotations",
                to="annotations",
            ),
        ),
        by_hand={"split_zhou_OxfordPets.json": _drive("1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs")},
    ),
    "stanford_cars": Source(
        archives=(
            Archive(
                name="cars_train.tgz",
                digest="sha256:512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
                size=979_269_282,
                folder="cars_train",
                to="cars_train",
            ),
            Archive(
                name="cars_test.tgz",
                digest="sha256:bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
                size=977_350_468,
                folder="cars_test",
                to="cars_test",
            ),
            Archive(
                name="car_devkit.tgz",
                digest="sha256:b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
                size=330_960,
                folder="devkit",
                to="devkit",
            ),
            Archive(
                name="cars_test_annos_withlabels.mat",
                digest="sha256:790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05",
                size=185_758,
            ),
        ),
        by_hand={"split_zhou_StanfordCars.json": _drive("1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT")},
        note="Stanford no longer serves the files, https://github.com/pytorch/vision/issues/7545 tells of copies",
    ),
    "oxford_flowers": Source(
        archives=(
            Archive(
                name="102flowers.tgz",
                digest="sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                size=344_862_509,
                url=f"{_OXFORD}/flowers/102/102flowers.tgz",
                folder="jpg",
                to="jpg",
            ),
            Archive(
                name="imagelabels.mat",
                digest="sha256:4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                size=502,
                url=f"{_OXFORD}/flowers/102/imagelabels.mat",
            ),
        ),
        by_hand={
            "cat_to_name.json": _drive("1AkcxCXeK_RCGCEC_GvmWxjcjaNhu-at0"),
            "split_zhou_OxfordFlowers.json": _drive("1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT"),
        },
    ),
    "food101": Source(
        archives=(
            Archive(
                name="food-101.tar.gz",
                digest="sha256:d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
                size=4_996_278_331,
                url="https://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                folder="food-101",
                parts=("images",),
            ),
        ),
        by_hand={"split_zhou_Food101.json": _drive("1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl")},
    ),
    "fgvc_aircraft": Source(
        archives=(
            Archive(
                name="fgvc-aircraft-2013b.tar.gz",
                digest="md5:d4acdd33327262359767eeaa97a4f732",
                size=2_753_340_328,
                url=f"{_OXFORD}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
                folder="fgvc-aircraft-2013b/data",
                parts=("images", "variants.txt", *(f"images_variant_{part}.txt" for part in ("train", "val", "test"))),
            ),
        ),
    ),
    "sun397": Source(
        archives=(
            Archive(
                name="SUN397.tar.gz",
                digest="sha256:f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
                size=39_077_296_924,
                folder="SUN397",
                to="SUN397",
            ),
            Archive(
                name="Partitions.zip",
                digest="sha256:e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",
                size=18_293_705,
                parts=("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
            ),
        ),
        by_hand={"split_zhou_SUN397.json": _drive("1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq")},
        note="Princeton's links are reported dead (https://github.com/KaiyangZhou/CoOp/issues/90)",
    ),
    "dtd": Source(
        archives=(
            Archive(
                name="dtd-r1.0.1.tar.gz",
                digest="sha256:e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
                size=625_239_812,
                url=f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz",
                folder="dtd",
                parts=("images",),
            ),
        ),
        by_hand={"split_zhou_DescribableTextures.json": _drive("1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x")},
    ),
    "eurosat": Source(
        archives=(
            Archive(
                name="EuroSAT.zip",
                digest="md5:c8fa014336c82ac7804f0398fcb19387",
                size=94_280_567,
                url="https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                folder="2750",
                to="2750",
            ),
        ),
        by_hand={"split_zhou_EuroSAT.json": _drive("1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o")},
    ),
    "ucf101": Source(
        by_hand={
            "UCF-101-midframes": f"{_drive('10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O')} (UCF-101-midframes.zip, unpacked)",
            "split_zhou_UCF101.json": _drive("1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y"),
        },
    ),
    "imagenetv2": Source(
        archives=(
            Archive(
                name="imagenetv2-matched-frequency.tar.gz",
                digest="sha256:f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c",
                size=1_264_079_360,
                url="https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/"
                "imagenetv2-matched-frequency.tar.gz",
                folder="imagenetv2-matched-frequency-format-val",
                to="imagenetv2-matched-frequency-format-val",
            ),
        ),
        by_hand=_CLASSNAMES,
    ),
    "imagenet_sketch": Source(
        archives=(
            Archive(
                name="ImageNet-Sketch.zip",
                digest="sha256:4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed",
                size=7_593_573_012,
                url="https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip",
                folder="sketch",
                to="images",
            ),
        ),
        by_hand=_CLASSNAMES,
    ),
    "imagenet_a": Source(
        archives=(
            Archive(
                name="imagenet-a.tar",
                digest="sha256:3bb3632277e6ba6392ea64c02ddbf4dd2266c9caffd6bc09c9656d28f012589e",
                size=687_552_512,
                url="https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
                folder="imagenet-a",
                to="imagenet-a",
            ),
        ),
        by_hand=_CLASSNAMES,
    ),
    "imagenet_r": Source(
        archives=(
            Archive(
                name="imagenet-r.tar",
                digest="sha256:18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52",
                size=2_191_079_936,
                url="https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
                folder="imagenet-r",
                to="imagenet-r",
            ),
        ),
        by_hand=_CLASSNAMES,
    ),
    "fashion_mnist": Source(
        archives=(
            Archive(
                name="train-images-idx3-ubyte.gz",
                digest="sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                size=26_421_880,
                url=f"{_FASHION}/train-images-idx3-ubyte.gz",
            ),
            Archive(
                name="train-labels-idx1-ubyte.gz",
                digest="sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                size=29_515,
                url=f"{_FASHION}/train-labels-idx1-ubyte.gz",
            ),
            Archive(
                name="t10k-images-idx3-ubyte.gz",
                digest="sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                size=4_422_102,
                url=f"{_FASHION}/t10k-images-idx3-ubyte.gz",
            ),
            Archive(
                name="t10k-labels-idx1-ubyte.gz",
                digest="sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                size=5_148,
                url=f"{_FASHION}/t10k-labels-idx1-ubyte.gz",
            ),
        ),
    ),
}
