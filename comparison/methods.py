"""The methods that have scripts, as scripts/<name>/method.yaml describes them.

trainer: CoOp
trains: true          # false: it is only tested
new_classes: true     # false: it knows only the classes that it was trained on
needs: DATASET.LIST   # a key that a run must be given; without it "all" leaves the method out
paper_config:         # protocol/dataset/shots: configuration; the first pattern that fits
  "few_shot/*/1": vit_b16_ep50
  "*": vit_b16
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from support.user_error import ConfigError, did_you_mean

_ROOT = Path(__file__).resolve().parents[1]
ROOT = Path() if Path.cwd() == _ROOT else _ROOT  # short paths in messages and results
METHOD_FILE = "method.yaml"


@dataclass(frozen=True)
class Method:
    """A folder of scripts.

    Attributes:
        name: of the folder.
        trains: whether it has anything to train; else it is only tested.
        new_classes: whether it can be tested on other classes than those it was trained on.
        needs: a configuration key without which it cannot run, "" for none.
        paper_config: pattern of "protocol/dataset/shots" -> name of a configuration file.
    """

    name: str
    trainer: str
    trains: bool = True
    new_classes: bool = True
    needs: str = ""
    paper_config: Mapping[str, str] = field(default_factory=dict, hash=False)

    def config_of(self, protocol: str, dataset: str, shots: int) -> str:
        """The configuration of the method's paper or release.

        Raises:
            UserError: no pattern fits.
        """
        place = f"{protocol}/{dataset}/{shots}"
        found = next((config for pattern, config in self.paper_config.items() if fnmatchcase(place, pattern)), None)
        if found is None:
            file = ROOT / "scripts" / self.name / METHOD_FILE
            raise ConfigError(
                f"{file}: no pattern of paper_config fits {place}: add one, or name a configuration in CFG"
            )
        return found


def read_method(folder: Path) -> Method:
    """The method of a folder of scripts.

    Raises:
        UserError: its method.yaml is missing or wrong.
    """
    file = folder / METHOD_FILE
    if not file.is_file():
        raise ConfigError(f"no {file}, which names the method's trainer")
    content = read_yaml_file(file)
    wrong = sorted(content.keys() - {"trainer", "trains", "new_classes", "needs", "paper_config"})
    configs = content.get("paper_config", {})
    if wrong or not isinstance(content.get("trainer"), str) or not isinstance(configs, dict):
        what = f'unknown "{wrong[0]}"' if wrong else "trainer must be a name, paper_config a mapping"
        raise ConfigError(f"{file}: {what}; comparison/methods.py says how it is written")
    return Method(folder.name, **content)


def read_yaml_file(file: Path) -> dict:
    """The mapping in a YAML file of this repository.

    Raises:
        UserError: the file is no YAML mapping.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid YAML ({' '.join(str(error).split())}): correct it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected KEY: value lines, got {type(content).__name__}")
    return content


@cache
def methods_here() -> tuple[Method, ...]:
    return tuple(read_method(file.parent) for file in sorted((ROOT / "scripts").glob(f"*/{METHOD_FILE}")))


def find_method(name: str) -> tuple[Method, str]:
    """The method of a trainer or of a folder in scripts/, and the configuration behind a slash, or "".

    Raises:
        UserError: there is none, with the nearest name.
    """
    trainer, _, config = name.partition("/")
    found = next((method for method in methods_here() if trainer in (method.trainer, method.name)), None)
    if found is None:
        known = [method.trainer for method in methods_here()]
        near = did_you_mean(trainer, known) or did_you_mean(trainer, [method.name for method in methods_here()])
        raise ConfigError(
            f'--trainers: no scripts/<method>/{METHOD_FILE} names the trainer "{trainer}"{near}; '
            f"known: {', '.join(known)}"
        )
    if config:
        folder = ROOT / "configs" / "trainers" / found.trainer
        configs = [file.stem for file in folder.glob("*.yaml")]
        if config not in configs:
            raise ConfigError(f"--trainers: no config file {folder / config}.yaml{did_you_mean(config, configs)}")
    return found, config
