"""Copies of fourteen datasets in one repository of the Hugging Face Hub, each with CoOp's split file.

Others keep the repository (the authors of PromptKD); it has all of the field's fifteen but ImageNet. Its names of files
are those that public scripts fetch from it. It was never fetched from here, so nothing is assumed of what is in an
archive: `datasets.prepare.find_layout` looks for it. Sizes and hashes are those that the Hub tells at the time.
"""

from __future__ import annotations

from dataclasses import dataclass

REPOSITORY = "zhengli97/prompt_learning_dataset"
PAGE = f"https://huggingface.co/{REPOSITORY}"


@dataclass(frozen=True)
class HubCopy:
    """A dataset in the repository.

    Attributes:
        file: name of its archive there.
        needs: what has to be in the dataset's folder for it to count as laid out, CoOp's split file included.
    """

    file: str
    needs: tuple[str, ...]


HUB_COPIES = {
    "caltech101": HubCopy("caltech-101.zip", ("101_ObjectCategories", "split_zhou_Caltech101.json")),
    "oxford_pets": HubCopy("oxford_pets.zip", ("images", "split_zhou_OxfordPets.json")),
    "stanford_cars": HubCopy("stanford_cars.zip", ("cars_train", "cars_test", "split_zhou_StanfordCars.json")),
    "oxford_flowers": HubCopy("oxford_flowers.zip", ("jpg", "split_zhou_OxfordFlowers.json")),
    "food101": HubCopy("food101.zip", ("images", "split_zhou_Food101.json")),
    "fgvc_aircraft": HubCopy(
        "fgvc_aircraft.zip",
        ("images", "variants.txt", *(f"images_variant_{part}.txt" for part in ("train", "val", "test"))),
    ),
    "sun397": HubCopy("sun397.zip", ("SUN397", "split_zhou_SUN397.json")),
    "dtd": HubCopy("dtd.zip", ("images", "split_zhou_DescribableTextures.json")),
    "eurosat": HubCopy("eurosat.zip", ("2750", "split_zhou_EuroSAT.json")),
    "ucf101": HubCopy("ucf101.zip", ("UCF-101-midframes", "split_zhou_UCF101.json")),
    "imagenetv2": HubCopy("imagenetv2.zip", ("imagenetv2-matched-frequency-format-val",)),
    "imagenet_sketch": HubCopy("imagenet-sketch.zip", ("images",)),
    "imagenet_a": HubCopy("imagenet-adversarial.zip", ("imagenet-a",)),
    "imagenet_r": HubCopy("imagenet-rendition.zip", ("imagenet-r",)),
}
