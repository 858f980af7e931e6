"""Write upstream_names.json: what a file written for upstream Dassl can import from it, and how it can be called.

    python -m tests.golden.make_upstream_names CLONE        a clone of KaiyangZhou/Dassl.pytorch

The source is parsed, not run. Listed are, of each module, its public functions with their parameters, classes with
their public methods, constants, and what it imports from dassl and from torch's packages. What is left out below has
its reason there.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).with_name("upstream_names.json")
IMPORTED_FROM = ("dassl", "torch", "torchvision", "tqdm")  # tensorboard is torch.utils.tensorboard

ADAPTATION = "a domain-adaptation, domain-generalization or semi-supervised {}, no part of prompt learning"
SMALL = "a network of domain-generalization papers; prompt learning has CLIP's image encoder"
OPERATION = "an operation of RandAugment, which is torchvision's here"
MODULES = {  # with all modules below them
    "dassl.engine.da": ADAPTATION.format("trainer"),
    "dassl.engine.dg": ADAPTATION.format("trainer"),
    "dassl.engine.ssl": ADAPTATION.format("trainer"),
    "dassl.data.datasets.da": ADAPTATION.format("dataset"),
    "dassl.data.datasets.dg": ADAPTATION.format("dataset"),
    "dassl.data.datasets.ssl": ADAPTATION.format("dataset"),
    "dassl.modeling.network.ddaig_fcn": SMALL,
    "dassl.modeling.backbone.cnn_digit5_m3sda": SMALL,
    "dassl.modeling.backbone.cnn_digitsdg": SMALL,
    "dassl.modeling.backbone.cnn_digitsingle": SMALL,
    "dassl.modeling.backbone.preact_resnet18": SMALL,
    "dassl.modeling.backbone.resnet_dynamic": SMALL,
    "dassl.modeling.backbone.wide_resnet": SMALL,
    "dassl.modeling.backbone.efficientnet.model": "a part of efficientnet_b0 to b7, which are torchvision's here",
    "dassl.modeling.backbone.efficientnet.utils": "a part of efficientnet_b0 to b7, which are torchvision's here",
    "dassl.modeling.ops.attention": "a part of resnet_dynamic",
    "dassl.modeling.ops.conv": "a part of resnet_dynamic",
    "dassl.modeling.ops.transnorm": "a batch norm of convolutional networks for two domains; CLIP's ViT has none",
}
NAMES = {  # in whatever module they are
    "VGG": "the class behind vgg16, which is torchvision's here",
    "AlexNet": "the class behind alexnet, which is torchvision's here",
    "init_pretrained_weights": "torchvision downloads and checks its weights itself",
    "load_state_dict_from_url": "torchvision downloads and checks its weights itself",
    "model_urls": "torchvision downloads and checks its weights itself",
    "model_zoo": "torchvision downloads and checks its weights itself",
    "conv3x3": "a part of ResNet, which is torchvision's here",
    "make_layers": "a part of VGG, which is torchvision's here",
    "cfgs": "a part of VGG, which is torchvision's here",
    "SubPolicy": "a part of the AutoAugment policies, which are torchvision's here",
    "Lighting": OPERATION,
    "CutoutDefault": OPERATION,
    "SamplePairing": OPERATION,
    "randaugment_list": OPERATION,
    "randaugment_list2": OPERATION,
    "fixmatch_list": OPERATION,
    **dict.fromkeys(["ShearX", "ShearY", "TranslateX", "TranslateXabs", "TranslateY", "TranslateYabs"], OPERATION),
    **dict.fromkeys(["Rotate", "AutoContrast", "Invert", "Equalize", "Flip", "Solarize", "SolarizeAdd"], OPERATION),
    **dict.fromkeys(["Posterize", "Contrast", "Color", "Brightness", "Sharpness", "CutoutAbs", "Identity"], OPERATION),
    "dassl.data.transforms.randaugment:Cutout": OPERATION,
    "nn": "a module of torch",
    "functional": "a module of torch",
}

Parameters = list[str]  # "name", "name=" where it has a default, "*args", "*" before those by name alone, "**kwargs"
Entry = Parameters | dict[str, Parameters] | None  # of a function, a class, anything else


def is_left_out(module: str, name: str = "") -> bool:
    below = any(module == left_out or module.startswith(left_out + ".") for left_out in MODULES)
    return below or name in NAMES or f"{module}:{name}" in NAMES


def parameters(function: ast.FunctionDef) -> Parameters:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = len(positional) - len(arguments.defaults)
    found = [argument.arg + "=" * (index >= plain) for index, argument in enumerate(positional)]
    if arguments.vararg or arguments.kwonlyargs:
        found.append("*" + (arguments.vararg.arg if arguments.vararg else ""))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(argument.arg + "=" * (default is not None))
    return found + (["**" + arguments.kwarg.arg] if arguments.kwarg else [])


def public_methods(node: ast.ClassDef) -> dict[str, Parameters]:
    functions = [child for child in node.body if isinstance(child, ast.FunctionDef)]
    return {function.name: _of_method(function) for function in functions if _is_public(function.name, "__init__")}


def _of_method(function: ast.FunctionDef) -> Parameters:
    static = any(ast.unparse(decorator) == "staticmethod" for decorator in function.decorator_list)
    return parameters(function)[0 if static else 1 :]


def _is_public(name: str, *others: str) -> bool:
    return not name.startswith("_") or name in others


class Source:
    """The modules of a clone."""

    def __init__(self, clone: Path):
        self.files = {}
        for file in sorted((clone / "dassl").rglob("*.py")):
            parts = file.relative_to(clone).with_suffix("").parts
            self.files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        assert self.files, f"no clone of Dassl in {clone}"

    def entries(self, module: str) -> dict[str, Entry]:
        """What ``from <module> import ...`` finds."""
        found: dict[str, Entry] = {}
        for node in ast.parse(self.files[module].read_text(encoding="utf-8")).body:
            found.update(self._of_node(module, node))
        return {name: entry for name, entry in found.items() if _is_public(name)}

    def _of_node(self, module: str, node: ast.stmt) -> Iterator[tuple[str, Entry]]:
        if isinstance(node, ast.FunctionDef):
            yield node.name, parameters(node)
        elif isinstance(node, ast.ClassDef):
            yield node.name, public_methods(node)
        elif isinstance(node, ast.Assign):
            yield from ((target.id, None) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from self._imported(self._absolute(module, node), node)

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        package = module.split(".") if self.files[module].name == "__init__.py" else module.split(".")[:-1]
        base = package[: len(package) - node.level + 1] if node.level else []
        return ".".join([*base, *([node.module] if node.module else [])])

    def _imported(self, source: str, node: ast.ImportFrom) -> Iterator[tuple[str, Entry]]:
        if source.split(".")[0] not in IMPORTED_FROM:
            return
        for alias in node.names:
            if alias.name == "*":
                yield from self._starred(source)
            elif not is_left_out(source, alias.name):
                yield alias.asname or alias.name, None

    def _starred(self, source: str) -> Iterator[tuple[str, Entry]]:
        entries = {} if is_left_out(source) else self.entries(source)
        names = entries
        for node in ast.parse(self.files[source].read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
        yield from ((name, None) for name in names if name in entries)


def upstream_names(clone: Path) -> dict[str, dict[str, Entry]]:
    source = Source(clone)
    return {
        module: {name: entry for name, entry in sorted(source.entries(module).items()) if not is_left_out(module, name)}
        for module in source.files
        if not is_left_out(module)
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(upstream_names(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
