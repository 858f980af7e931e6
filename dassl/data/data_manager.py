"""From a dataset's lists of files to loaders of batches."""

import math
import os

import torch
from PIL import Image
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset, default_collate

from dassl.config import get_cfg_default
from dassl.utils import ConfigError, DataError, read_image
from dassl.utils.distributed import processes_on_machine, share, world_size
from dassl.utils.lazy_names import lazy_names

from .class_counts import images_per_class, in_words
from .datasets import build_dataset, images_as_shown
from .epoch_loader import EpochLoader
from .image_cache import ImageCache
from .samplers import build_sampler
from .transforms import build_transform
from .transforms.image_ops import suffices
from .transforms.transforms import build_img0_transform


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loader_setting(cfg, key: str):
    """``DATALOADER.<key>``, or its default where ``cfg`` is an upstream config, which lacks it."""
    settings = cfg.DATALOADER if hasattr(cfg.DATALOADER, key) else get_cfg_default().DATALOADER
    return getattr(settings, key)


def build_data_loader(
    cfg,
    sampler_type: str = "SequentialSampler",
    data_source=None,
    batch_size: int = 64,
    n_domain: int = 0,
    n_ins: int = 2,
    tfm=None,
    is_train: bool = True,
    dataset_wrapper: type[Dataset] | None = None,
) -> DataLoader:
    """Build the loader of one split.

    Order and augmentation follow the global generators; so the same seed before the same epoch gives the same batches,
    whatever the number of workers from one up. Without workers images are drawn from the global generators directly,
    and come out different. Workers for training stay from epoch to epoch, see EpochLoader.

    Of several processes each gets its share of every training batch, and loads only these images. Without workers it
    has to load the whole batch, as an image's random numbers follow those of the images before. A loader that is not
    for training gives all images to every process.

    Args:
        sampler_type: name of a sampler in ``dassl.data.samplers``.
        data_source: list of Datum.
        n_domain, n_ins: of the domain and class samplers.
        tfm: transform, or a list of them for "img", "img2", ...
        is_train: leave out an incomplete last batch, unless it is the only one.
        dataset_wrapper: used instead of DatasetWrapper.
    """
    if not data_source:
        raise DataError(
            f"dataset {cfg.DATASET.NAME}: a {'training' if is_train else 'test'} split has no images: add some"
        )
    if batch_size < 1:
        raise ConfigError(f"DATALOADER: BATCH_SIZE must be at least 1, got {batch_size}")
    for key, least in (("NUM_WORKERS", 0), ("CACHE_MB", 0), ("K_TRANSFORMS", 1)):
        if loader_setting(cfg, key) < least:
            raise ConfigError(f"DATALOADER.{key} must be at least {least}, got {loader_setting(cfg, key)}")
    wrapper = dataset_wrapper or DatasetWrapper
    dataset = wrapper(cfg, data_source, transform=tfm, is_train=is_train)
    if tfm is None and wrapper is DatasetWrapper:
        raise ConfigError("INPUT.NO_TRANSFORM True leaves images that no batch can be made of: set it to False")
    options = {
        "batch_size": batch_size,
        "sampler": build_sampler(sampler_type, cfg, data_source, batch_size, n_domain, n_ins),
        "drop_last": is_train and len(data_source) >= batch_size,
        "pin_memory": torch.cuda.is_available() and cfg.USE_CUDA,
    }
    workers = min(cfg.DATALOADER.NUM_WORKERS, available_cores())  # more would only wait for each other
    if not workers:
        shared = is_train and world_size() > 1
        return DataLoader(dataset, collate_fn=_collate_share if shared else None, **options)
    views = (cfg.DATALOADER.K_TRANSFORMS if is_train else 1) * (len(tfm) if isinstance(tfm, (list, tuple)) else 1)
    return EpochLoader(
        dataset,
        tensors=views + bool(cfg.DATALOADER.RETURN_IMG0),
        tensor_bytes=batch_size * 3 * math.prod(cfg.INPUT.SIZE) * torch.get_default_dtype().itemsize,
        shared=is_train,
        num_workers=max(1, workers // processes_on_machine()),
        persistent_workers=is_train,
        **options,
    )


def _collate_share(items: list):
    return default_collate(items[share(len(items))])


class DataManager:
    """The dataset that the config names, and a loader for each of its splits.

    Attributes:
        dataset: a DatasetBase.
        train_loader_x, train_loader_u, val_loader, test_loader: train_loader_u and val_loader may be None.
        num_classes, lab2cname: of the dataset.
        num_source_domains: number of DATASET.SOURCE_DOMAINS.

    Args:
        custom_tfm_train, custom_tfm_test: transforms instead of those that INPUT describes.
        dataset_wrapper: see build_data_loader.
    """

    def __init__(self, cfg, custom_tfm_train=None, custom_tfm_test=None, dataset_wrapper=None):
        dataset = build_dataset(cfg)
        if custom_tfm_train is not None:
            print("* Using custom transform for training")
        if custom_tfm_test is not None:
            print("* Using custom transform for testing")
        tfm_train = custom_tfm_train or build_transform(cfg, is_train=True)
        tfm_test = custom_tfm_test or build_transform(cfg, is_train=False)

        def train_loader(data_source, options):
            return build_data_loader(
                cfg,
                sampler_type=options.SAMPLER,
                data_source=data_source,
                batch_size=options.BATCH_SIZE,
                n_domain=options.N_DOMAIN,
                n_ins=options.N_INS,
                tfm=tfm_train,
                is_train=True,
                dataset_wrapper=dataset_wrapper,
            )

        def test_loader(data_source):
            return build_data_loader(
                cfg,
                sampler_type=cfg.DATALOADER.TEST.SAMPLER,
                data_source=data_source,
                batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
                tfm=tfm_test,
                is_train=False,
                dataset_wrapper=dataset_wrapper,
            )

        train_x, train_u = cfg.DATALOADER.TRAIN_X, cfg.DATALOADER.TRAIN_U
        self.dataset = dataset
        self.num_classes: int = dataset.num_classes
        self.lab2cname: dict[int, str] = dataset.lab2cname
        self.num_source_domains = len(cfg.DATASET.SOURCE_DOMAINS)
        self.train_loader_x = train_loader(dataset.train_x, train_x)
        self.train_loader_u = None
        if dataset.train_u:
            self.train_loader_u = train_loader(dataset.train_u, train_x if train_u.SAME_AS_X else train_u)
        self.val_loader = test_loader(dataset.val) if dataset.val else None
        self.test_loader = test_loader(dataset.test)
        if cfg.VERBOSE:
            self.show_dataset_summary(cfg)

    def show_dataset_summary(self, cfg) -> None:
        dataset = self.dataset
        only_tested = getattr(dataset, "only_tested", False)
        parts = {"train": [] if only_tested else dataset.train_x, "val": dataset.val, "test": dataset.test}
        counts = {part: images_per_class(items, self.lab2cname) for part, items in parts.items()}
        rows = [
            ("Dataset", cfg.DATASET.NAME),
            ("Source", ", ".join(map(str, cfg.DATASET.SOURCE_DOMAINS))),
            ("Target", ", ".join(map(str, cfg.DATASET.TARGET_DOMAINS))),
            ("# classes", f"{self.num_classes:,}"),
            ("# train_x", "" if only_tested else f"{len(dataset.train_x):,}"),
            ("# train_u", f"{len(dataset.train_u):,}" if dataset.train_u else ""),
            ("# val", f"{len(dataset.val):,}" if dataset.val else ""),
            ("# test", f"{len(dataset.test):,}"),
            ("# per class", ", ".join(f"{part} {in_words(*found)}" for part, found in counts.items() if found)),
        ]
        print(tabulate([row for row in rows if row[1]], disable_numparse=True))
        if note := getattr(dataset, "split_note", ""):
            print(f"notice: {note}")


class DatasetWrapper(Dataset):
    """Items of a split as dicts: label, domain, impath, index and the transformed image(s) "img".

    With a list of transforms their images are "img", "img2", ...; with DATALOADER.K_TRANSFORMS above 1, in training,
    each of these is a list of that many; with DATALOADER.RETURN_IMG0, "img0" is the image without augmentation.

    In training, decoded images are kept in memory up to DATALOADER.CACHE_MB. A JPEG with more pixels than the
    transforms can use is decoded at 1/2, 1/4 or 1/8 of its size, see ``image_ops.suffices``; DATALOADER.EXACT_DECODING
    decodes all in full.

    Args:
        data_source: list of Datum.
        transform: one or a list; None leaves "img" a Pillow image.
    """

    def __init__(self, cfg, data_source, transform=None, is_train: bool = False):
        self.cfg = cfg
        self.data_source = data_source
        self.transform = transform
        self.is_train = is_train
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        if self.k_tfm > 1 and transform is None:
            raise ConfigError(
                f"DATALOADER.K_TRANSFORMS is {self.k_tfm}, but there is no transform to apply: set it to 1, or "
                "INPUT.NO_TRANSFORM False"
            )
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        self.to_tensor = build_img0_transform(cfg) if self.return_img0 else None
        self._as_shown = images_as_shown(cfg)
        self._exact = loader_setting(cfg, "EXACT_DECODING")
        cache_bytes = loader_setting(cfg, "CACHE_MB") * 2**20 if is_train else 0
        self.cache = ImageCache(len(data_source), cache_bytes)

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict:
        item = self.data_source[idx]
        output = {"label": item.label, "domain": item.domain, "impath": item.impath, "index": idx}
        img0 = self._decode(idx)
        if self.transform is None:
            output["img"] = img0
        else:
            for position, transform in enumerate(self._transforms(), start=1):
                views = [transform(img0) for _ in range(self.k_tfm)]
                output["img" if position == 1 else f"img{position}"] = views[0] if self.k_tfm == 1 else views
        if self.return_img0:
            output["img0"] = self.to_tensor(img0)
        return output

    def _transforms(self) -> list:
        return list(self.transform) if isinstance(self.transform, (list, tuple)) else [self.transform]

    def _decode(self, idx: int) -> Image.Image:
        path = self.data_source[idx].impath
        image = self.cache.get(idx, path)
        if image is None:
            image = read_image(path, None if self._exact else self._suffices, self._as_shown)
            self.cache.put(idx, path, image)
        return image

    def _suffices(self, width: int, height: int) -> bool:
        transforms = [*self._transforms(), *([self.to_tensor] if self.return_img0 else [])]
        return all(suffices(transform, width, height) for transform in transforms)


__getattr__ = lazy_names(__name__, INTERPOLATION_MODES="dassl.data.transforms", T="torchvision.transforms:")
TorchDataset = Dataset  # upstream's name
