"""The configuration of the run whose model is tested, for what the command line of the test leaves out."""

from __future__ import annotations

import argparse
import os

from comparison.run_spec import RESULTS
from support.json_file import json_if_readable

OF_METHOD = ("TRAINER", "INPUT", "MODEL", "DATALOADER", "OPTIM")  # what the method's configuration file sets


def config_of_model(args: argparse.Namespace) -> dict:
    """The parts of the configuration of the run in --model-dir that no flag gives; {} where nothing is to be tested.

    Without --config-file they are the method's, without --dataset-config-file the dataset's; without --trainer the
    trainer's name in any case. A folder without a readable results.json gives nothing.
    """
    if not (args.eval_only and args.model_dir):
        return {}
    config = _config_in(args.model_dir) or _config_in(os.path.dirname(args.model_dir.rstrip("/\\")))
    method = {} if args.config_file else {key: config[key] for key in OF_METHOD if key in config}
    if args.config_file and not args.trainer and isinstance(config.get("TRAINER"), dict):
        method = {"TRAINER": {"NAME": config["TRAINER"].get("NAME", "")}}
    if "MODEL" in method:
        method["MODEL"] = {key: value for key, value in method["MODEL"].items() if key != "INIT_WEIGHTS"}
    dataset = {} if args.dataset_config_file else {key: config[key] for key in ("DATASET",) if key in config}
    return {**method, **dataset}


def _config_in(folder: str) -> dict:
    results = json_if_readable(os.path.join(folder, RESULTS))
    config = results.get("config") if isinstance(results, dict) else None
    return config if isinstance(config, dict) else {}
