"""Names are found where files written against upstream Dassl import them from."""

import importlib

import pytest

PATHS = {
    "dassl.config": ["get_cfg_default"],
    "dassl.data": ["DataManager"],
    "dassl.data.data_manager": ["DataManager", "DatasetWrapper", "build_data_loader"],
    "dassl.data.datasets": ["DATASET_REGISTRY", "DatasetBase", "Datum", "build_dataset"],
    "dassl.data.datasets.base_dataset": ["DatasetBase", "Datum"],
    "dassl.data.datasets.build": ["DATASET_REGISTRY", "build_dataset"],
    "dassl.data.samplers": ["build_sampler", "RandomClassSampler", "RandomDomainSampler", "SeqDomainSampler"],
    "dassl.data.transforms": ["build_transform", "INTERPOLATION_MODES"],
    "dassl.data.transforms.transforms": ["build_transform", "INTERPOLATION_MODES"],
    "dassl.engine": ["TRAINER_REGISTRY", "SimpleTrainer", "TrainerBase", "TrainerX", "build_trainer"],
    "dassl.engine.build": ["TRAINER_REGISTRY", "build_trainer"],
    "dassl.engine.trainer": ["SimpleTrainer", "TrainerX"],
    "dassl.evaluation": ["EVALUATOR_REGISTRY", "Classification", "EvaluatorBase", "build_evaluator"],
    "dassl.evaluation.evaluator": ["Classification", "EvaluatorBase"],
    "dassl.metrics": ["compute_accuracy", "compute_distance_matrix"],
    "dassl.optim": ["build_lr_scheduler", "build_optimizer"],
    "dassl.optim.lr_scheduler": ["build_lr_scheduler"],
    "dassl.optim.optimizer": ["build_optimizer"],
    "dassl.utils": [
        *["Registry", "load_checkpoint", "save_checkpoint", "load_pretrained_weights", "resume_from_checkpoint"],
        *["setup_logger", "set_random_seed", "collect_env_info", "read_json", "write_json", "mkdir_if_missing"],
        *["listdir_nohidden", "check_isfile", "MetricMeter", "AverageMeter", "count_num_param", "read_image"],
    ],
}


@pytest.mark.parametrize("module", PATHS)
def test_upstream_import_paths(module):
    found = importlib.import_module(module)
    assert [name for name in PATHS[module] if not hasattr(found, name)] == []
