"""EuroSAT: 10 kinds of land seen by satellite, in RGB. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .split_dataset import SplitDataset


@DATASET_REGISTRY.register()
class EuroSAT(SplitDataset):
    """Land use; CoOp's class names say more to a language model than the folder names."""

    dataset_dir = "eurosat"
    image_subdir = "2750"
    split_file = "split_zhou_EuroSAT.json"
    layout = "eurosat/2750/<class>/*.jpg"
    source = "https://github.com/phelber/EuroSAT"
    published = {"classes": 10, "train": 13500, "val": 5400, "test": 8100}
    new_names = {
        "AnnualCrop": "Annual Crop Land",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "SeaLake": "Sea or Lake",
    }
