"""The shell scripts, with a stand-in for Python that records what train.py would have been called with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from comparison.methods import methods_here

METHODS = {
    "zsclip": "ZeroshotCLIP",
    "cupl": "CuPL",
    "coop": "CoOp",
    "cocoop": "CoCoOp",
    "mudpt": "MuDPT",
    "vpt": "VPT",
    "ivlp": "IVLP",
    "maple": "MaPLe",
    "kgcoop": "KgCoOp",
    "prograd": "ProGrad",
    "promptsrc": "PromptSRC",
    "mma": "MMA",
    "mmrl": "MMRL",
    "tcp": "TCP",
    "clip_lora": "CLIP_LoRA",
    "clip_adapter": "CLIP_Adapter",
    "tip_adapter": "TipAdapter",
    "tip_adapter_f": "TipAdapterF",
    "linear_probe": "LinearProbe",
    "gda": "GDA",
    "clap": "CLAP",
    "taskres": "TaskRes",
    "cross_modal": "CrossModal",
}


@pytest.fixture
def project(root, tmp_path) -> Path:
    """A root with the scripts and three datasets, of which `small` names the embedded backbone."""
    project = tmp_path / "project"
    for folder in ("scripts", "comparison", "support"):
        shutil.copytree(root / folder, project / folder)
    datasets = project / "configs" / "datasets"
    datasets.mkdir(parents=True)
    (datasets / "imagenet.yaml").write_text("DATASET:\n  NAME: ImageNet\n")
    (datasets / "dtd.yaml").write_text("DATASET:\n  NAME: DescribableTextures\n")
    (datasets / "small.yaml").write_text('DATASET: {NAME: Small}\nMODEL:\n  BACKBONE:\n    NAME: "tiny"  # embedded\n')
    return project


def call(script: Path, *arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(script), *arguments],
        cwd=folder or script.parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def expected_call(trainer, dataset, config, seed, output, *rest, data="data", at=""):
    return [
        *(f"{at}train.py", "--root", data, *(("--seed", seed) if seed else ()), "--trainer", trainer),
        *("--dataset-config-file", f"{at}configs/datasets/{dataset}.yaml"),
        *("--config-file", f"{at}configs/trainers/{trainer}/{config}.yaml", "--output-dir", output, *rest),
    ]


SHOTS = ("DATASET.NUM_SHOTS", "16")
BASE, NEW = ("DATASET.SUBSAMPLE_CLASSES", "base"), ("DATASET.SUBSAMPLE_CLASSES", "new")


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("coop", "vit_b16_ctxv1"),
        ("cocoop", "vit_b16_c4_ep10_batch1_ctxv1"),
        ("mudpt", "vit_b16_bz4_ep10_nctx4_depth9"),
        ("vpt", "vit_b16_c2_ep5_batch4_4"),
        ("ivlp", "vit_b16_c2_ep5_batch4_2+2ctx"),
        ("maple", "vit_b16_c2_ep5_batch4_2ctx"),
        ("kgcoop", "vit_b16_ep100_ctxv1"),
        ("prograd", "vit_b16_ep100"),
        ("promptsrc", "vit_b16_c2_ep20_batch4_4+4ctx"),
        ("tcp", "vit_b16_ep100_ctxv1"),
        ("mma", "vit_b16_ep5"),
        ("mmrl", "vit_b16"),
        ("clip_lora", "vit_b16"),
        ("clip_adapter", "vit_b16"),
        ("tip_adapter", "vit_b16"),
        ("tip_adapter_f", "vit_b16"),
        ("gda", "vit_b16"),
        ("clap", "SGD_lr1e-1_B256_ep300"),
        ("taskres", "adam_lr2e-3_B256_ep200"),
        ("cross_modal", "SGD_lr1e-1_B256_ep300"),
    ],
)
def test_base_to_new_trains_on_base_and_tests_that_model_on_new(method, config, project, recorder):
    trainer = METHODS[method]
    base, new = (f"output/base2new/{half}/dtd/shots_16/{trainer}/{config}/seed2" for half in ("train_base", "test_new"))
    assert call(project / f"scripts/{method}/base2new_train.sh", "dtd", "2").returncode == 0
    assert call(project / f"scripts/{method}/base2new_test.sh", "dtd", "2", "INPUT.SIZE", "(64, 64)").returncode == 0
    assert recorder() == [
        expected_call(trainer, "dtd", config, "2", base, *SHOTS, *BASE),
        expected_call(
            trainer, "dtd", config, "2", new, "--eval-only", "--model-dir", base, *SHOTS, *NEW, "INPUT.SIZE", "(64, 64)"
        ),
    ]


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("coop", "vit_b16_ep50_ctxv1"),
        ("cocoop", "vit_b16_c4_ep10_batch1_ctxv1"),
        ("mudpt", "vit_b16_bz4_ep10_nctx4_depth9"),
        ("maple", "vit_b16_c2_ep5_batch4_2ctx_cross_datasets"),
        ("promptsrc", "vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets"),
        ("mma", "vit_b16_ep5_imnet"),
        ("mmrl", "vit_b16_cross_datasets"),
    ],
)
def test_cross_dataset_trains_on_imagenet_and_tests_elsewhere(method, config, project, recorder):
    trainer = METHODS[method]
    model = f"output/imagenet/{trainer}/{config}_16shots/seed1"
    tested = f"output/evaluation/{trainer}/{config}_16shots/dtd/seed1"
    assert call(project / f"scripts/{method}/xd_train.sh", "1").returncode == 0
    assert call(project / f"scripts/{method}/xd_test.sh", "dtd", "1").returncode == 0
    assert recorder() == [
        expected_call(trainer, "imagenet", config, "1", model, *SHOTS),
        expected_call(trainer, "dtd", config, "1", tested, "--eval-only", "--model-dir", model),
    ]


def test_every_method_has_the_five_scripts_and_its_paper_configs(root):
    assert {method.name: method.trainer for method in methods_here()} == METHODS
    for method in methods_here():
        for script in ("base2new_train", "base2new_test", "xd_train", "xd_test", "few_shot"):
            assert (root / f"scripts/{method.name}/{script}.sh").is_file()
        configs = {
            method.config_of(protocol, dataset, shots)
            for protocol in ("base2new", "few_shot", "cross_dataset")
            for dataset in ("imagenet", "dtd", "eurosat", "sun397", "oxford_flowers", "oxford_pets")
            for shots in (1, 2, 4, 8, 16)
        }
        assert configs >= set(method.paper_config.values())
        assert all((root / f"configs/trainers/{method.trainer}/{config}.yaml").is_file() for config in configs)


def test_cross_dataset_evaluation_keeps_the_config_of_the_source(project, recorder):
    model, tested = (
        f"output/{folder}/seed1" for folder in ("small/CoOp/tiny_16shots", "evaluation/CoOp/tiny_16shots/dtd")
    )
    assert call(project / "scripts/coop/xd_train.sh", "1", SOURCE="small").returncode == 0
    assert call(project / "scripts/coop/xd_test.sh", "dtd", "1", SOURCE="small").returncode == 0
    assert recorder()[1] == expected_call("CoOp", "dtd", "tiny", "1", tested, "--eval-only", "--model-dir", model)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"zsclip", "cupl"}))
def test_few_shot_runs_seeds_1_2_3_unless_named(method, project, recorder):
    script = project / f"scripts/{method}/few_shot.sh"
    assert call(script, "small", "4").returncode == 0
    assert call(script, "small", "1", "7", "8", "OPTIM.LR", "0.1").returncode == 0
    trainer = METHODS[method]
    assert recorder() == [
        expected_call(
            trainer, "small", "tiny", seed, f"output/small/{trainer}/tiny_{shots}shots/seed{seed}",
            "DATASET.NUM_SHOTS", shots, *rest,
        )
        for shots, seed, *rest in (
            ("4", "1"), ("4", "2"), ("4", "3"), ("1", "7", "OPTIM.LR", "0.1"), ("1", "8", "OPTIM.LR", "0.1"),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "shots", "config"),
    [
        ("dtd", "1", "vit_b16_ep50"),
        ("dtd", "4", "vit_b16_ep100"),
        ("dtd", "16", "vit_b16"),
        ("imagenet", "16", "vit_b16_ep50"),
    ],
)
def test_coop_trains_longer_on_more_shots(dataset, shots, config, project, recorder):
    assert call(project / "scripts/coop/few_shot.sh", dataset, shots, "1").returncode == 0
    assert f"configs/trainers/CoOp/{config}.yaml" in recorder()[0]


def test_zero_shot_clip_is_tested_once_whatever_shots_and_seed(project, recorder):
    for script, *arguments in (
        ("base2new_train", "dtd", "1"),
        ("base2new_train", "dtd", "2"),
        ("base2new_test", "dtd", "1"),
        ("xd_train", "1"),
        ("xd_test", "dtd", "1"),
        ("few_shot", "dtd", "16"),
        ("few_shot", "dtd", "1", "2"),
        ("zeroshot", "dtd", "rn50"),
    ):
        assert call(project / f"scripts/zsclip/{script}.sh", *arguments).returncode == 0
    path = "dtd/shots_0/ZeroshotCLIP/vit_b16/seed0"
    assert recorder() == [
        expected_call("ZeroshotCLIP", dataset, config, "", f"output/{output}", "--eval-only", *rest)
        for dataset, config, output, *rest in (
            ("dtd", "vit_b16", f"base2new/train_base/{path}", *BASE),
            ("dtd", "vit_b16", f"base2new/test_new/{path}", *NEW),
            ("imagenet", "vit_b16", "ZeroshotCLIP/vit_b16/imagenet"),
            ("dtd", "vit_b16", "ZeroshotCLIP/vit_b16/dtd"),
            ("dtd", "rn50", "ZeroshotCLIP/rn50/dtd"),
        )
    ]


def test_coop_main_and_eval_keep_coops_arguments(project, recorder):
    assert call(project / "scripts/coop/main.sh", "imagenet", "rn50_ep50", "end", "16", "16", "False").returncode == 0
    assert call(project / "scripts/coop/eval.sh", "dtd", "rn50_ep50").returncode == 0
    name = "nctx16_cscFalse_ctpend"
    variant, named = f"rn50_ep50_16shots/{name}", ("--variant", name)
    keys = "TRAINER.COOP.N_CTX 16 TRAINER.COOP.CSC False TRAINER.COOP.CLASS_TOKEN_POSITION end".split()
    seeds = ("1", "2", "3")
    models = [f"output/imagenet/CoOp/{variant}/seed{seed}" for seed in seeds]
    trained = [
        expected_call("CoOp", "imagenet", "rn50_ep50", seed, model, *named, *SHOTS, *keys)
        for seed, model in zip(seeds, models, strict=True)
    ]
    tested = [
        expected_call(
            "CoOp", "dtd", "rn50_ep50", seed, f"output/evaluation/CoOp/{variant}/dtd/seed{seed}",
            *named, "--eval-only", "--model-dir", model, *keys,
        )
        for seed, model in zip(seeds, models, strict=True)
    ]  # fmt: skip
    assert recorder() == trained + tested


def test_coop_main_has_a_random_context_on_the_embedded_backbone(project, recorder):
    run = subprocess.run(["bash", str(project / "scripts/coop/main.sh"), *"small tiny end 8 2 True".split()])
    assert run.returncode == 0
    pairs = recorder()[0][recorder()[0].index("TRAINER.COOP.N_CTX") :]
    assert pairs[:8] == [
        *["TRAINER.COOP.N_CTX", "8", "TRAINER.COOP.CSC", "True"],
        *["TRAINER.COOP.CLASS_TOKEN_POSITION", "end", "TRAINER.COOP.CTX_INIT", ""],
    ]


def test_a_copied_folder_of_scripts_is_another_method(project, recorder):
    shutil.copytree(project / "scripts/mudpt", project / "scripts/mine")
    method = project / "scripts/mine/method.yaml"
    method.write_text(method.read_text().replace("trainer: MuDPT", "trainer: Mine"))
    for script in ("scripts/mine/base2new_train.sh", "base2new_train.sh"):  # from elsewhere, and from its own folder
        folder = project if "/" in script else method.parent
        subprocess.run(["bash", script, "small", "1"], cwd=folder, check=True)
    call = recorder()[0]
    assert call[call.index("--trainer") + 1] == "Mine"
    assert len(recorder()) == 1  # the second call found the first one's results


def test_a_skipped_run_with_other_pairs_says_so(project, recorder):
    command = ["bash", str(project / "scripts/mudpt/few_shot.sh"), "small", "2", "1"]
    subprocess.run(command, check=True)
    again = subprocess.run([*command, "OPTIM.LR", "0.1"], check=True, capture_output=True, text=True).stdout
    assert again.startswith("skipped, finished before") and "VARIANT=name" in again and again.count("\n") == 1


def test_ones_own_images_name_the_folder_of_the_results(project, recorder):
    (project / "configs/datasets/small.yaml").write_text(
        "DATASET: {NAME: ImageFolder}\nMODEL: {BACKBONE: {NAME: tiny}}"
    )
    pairs = ["DATASET.DIR", "photos/mine/"]
    call(project / "scripts/mudpt/few_shot.sh", "small", "2", "1", *pairs)
    call(project / "scripts/mudpt/base2new_train.sh", "small", "1", *pairs)
    call(project / "scripts/mudpt/base2new_test.sh", "small", "1", *pairs)
    folders = [arguments[arguments.index("--output-dir") + 1] for arguments in recorder()]
    assert folders == [
        "output/small-photos-mine/MuDPT/tiny_2shots/seed1",
        "output/base2new/train_base/small-photos-mine/shots_16/MuDPT/tiny/seed1",
        "output/base2new/test_new/small-photos-mine/shots_16/MuDPT/tiny/seed1",
    ]
    assert all(arguments[-len(pairs) :] == pairs for arguments in recorder())


def test_works_from_any_folder_and_with_own_folders(project, recorder, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    at = f"{project.resolve()}/"
    script = project / "scripts/mudpt/base2new_train.sh"
    path = "base2new/train_base/small/shots_4/MuDPT/mine/seed1"
    own = {"DATA": "my data", "OUTPUT": "my output", "CFG": "mine", "SHOTS": "4"}
    assert call(script, "small", "1", folder=elsewhere).returncode == 0
    assert call(script, "small", "1", folder=elsewhere, **own).returncode == 0
    default = f"{at}output/base2new/train_base/small/shots_16/MuDPT/tiny/seed1"
    assert recorder() == [
        expected_call("MuDPT", "small", "tiny", "1", default, *SHOTS, *BASE, data=f"{at}data", at=at),
        expected_call(
            "MuDPT", "small", "mine", "1", f"my output/{path}", "DATASET.NUM_SHOTS", "4", *BASE, data="my data", at=at
        ),
    ]
    assert (elsewhere / "my output" / path / "results.json").is_file()


def test_a_finished_run_is_skipped_with_one_line_and_an_unfinished_one_is_run_again(project, recorder):
    script = project / "scripts/coop/base2new_train.sh"
    assert call(script, "small", "1").returncode == 0
    again = call(script, "small", "1")
    assert again.returncode == 0
    results = "output/base2new/train_base/small/shots_16/CoOp/tiny/seed1/results.json"
    assert again.stdout == f"skipped, finished before: {results}\n"
    assert len(recorder()) == 1
    shutil.move(project / results, project / "output" / "results.json")  # the folder stays, unfinished
    call(script, "small", "1")
    assert len(recorder()) == 2


def test_several_processes_share_a_run(project, recorder):
    script = project / "scripts/mudpt/few_shot.sh"
    assert call(script, "small", "1", "1", PROCESSES="2").returncode == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    assert recorder()[0][: len(launcher) + 1] == [*launcher, "train.py"]
    refused = call(script, "small", "1", "2", PROCESSES="two")
    assert (refused.returncode, refused.stderr) == (2, 'error: PROCESSES must be a number, not "two"\n')
    assert len(recorder()) == 1


@pytest.mark.parametrize(
    ("script", "arguments", "first"),
    [
        ("cocoop/base2new_test.sh", ["small", "3"], "scripts/cocoop/base2new_train.sh small 3"),
        ("mudpt/xd_test.sh", ["small", "3"], "scripts/mudpt/xd_train.sh 3"),
        ("coop/eval.sh", ["small", "rn50"], "scripts/coop/main.sh imagenet rn50 end 16 16 False"),
    ],
)
def test_testing_without_a_trained_model_names_the_command_to_run_first(script, arguments, first, project, recorder):
    result = call(project / "scripts" / script, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: no finished training run in output/") and result.stderr.count("\n") == 1
    assert result.stderr.endswith(f"first run: bash {first}\n")
    assert recorder() == []


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("mudpt/base2new_train.sh", ["small"], "usage: base2new_train.sh DATASET SEED [KEY VALUE ...]"),
        ("mudpt/few_shot.sh", ["small"], "usage: few_shot.sh DATASET SHOTS [SEED...] [KEY VALUE ...]"),
        ("mudpt/xd_train.sh", [], "usage: xd_train.sh SEED [KEY VALUE ...]"),
        ("coop/main.sh", ["small", "rn50"], "usage: main.sh DATASET CFG CTP NCTX SHOTS CSC [KEY VALUE ...]"),
        ("mudpt/base2new_train.sh", ["small", "one"], 'SEED must be a number, not "one"'),
        ("mudpt/few_shot.sh", ["small", "many"], 'SHOTS must be a number, not "many"'),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(script, arguments, message, project, recorder):
    result = call(project / "scripts" / script, *arguments)
    assert (result.returncode, result.stderr) == (2, f"error: {message}\n")
    assert recorder() == []


def test_a_method_of_the_training_classes_alone_is_not_tested_on_new_ones(project, recorder):
    assert call(project / "scripts/linear_probe/base2new_train.sh", "small", "1").returncode == 0
    result = call(project / "scripts/linear_probe/base2new_test.sh", "small", "1")
    assert result.returncode == 2
    assert result.stderr == (
        "error: LinearProbe knows only the classes it was trained on: there is nothing to test on the new classes\n"
    )
    assert len(recorder()) == 1


def test_an_unknown_dataset_is_named_with_the_nearest_one(root, tmp_path):
    result = call(
        root / "scripts/mudpt/base2new_test.sh", "digit", "1", PYTHON=sys.executable, OUTPUT=str(tmp_path / "output")
    )
    assert result.returncode == 2
    assert result.stderr.startswith('error: DATASET: unknown "digit" (did you mean "digits"?); known: caltech101, ')
    assert not (tmp_path / "output").exists()


def test_the_exit_code_of_a_failed_run_is_passed_on(project, recorder):
    assert call(project / "scripts/coop/few_shot.sh", "small", "4", FAIL="--seed 2").returncode == 2
    assert len(recorder()) == 2


# setup_venv.sh


@pytest.fixture
def fresh(root, tmp_path) -> Path:
    """A root with a made-up .venv whose pip records its calls in .venv/calls and fails while .venv/fail exists."""
    fresh = tmp_path / "fresh"
    (fresh / "scripts").mkdir(parents=True)
    shutil.copy(root / "scripts" / "setup_venv.sh", fresh / "scripts")
    (fresh / "requirements.txt").write_text("yacs\n")
    python = fresh / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/usr/bin/env bash\n"
        'if [[ "$1 $2 ${3-}" == "-m pip install" ]]; then echo "$@" >>.venv/calls; [[ ! -e .venv/fail ]]; exit; fi\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return fresh


def setup(fresh: Path, **environment: str) -> subprocess.CompletedProcess:
    return call(fresh / "scripts" / "setup_venv.sh", folder=fresh, **environment)


def installs(fresh: Path) -> int:
    calls = fresh / ".venv" / "calls"
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def test_requirements_are_installed_once_and_again_when_they_change(fresh):
    assert "installed requirements.txt" in setup(fresh).stdout
    second = setup(fresh)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert installs(fresh) == 1
    (fresh / "requirements.txt").write_text("yacs\ntqdm\n")
    assert setup(fresh).returncode == 0
    assert installs(fresh) == 2


def test_a_failed_install_is_retried_and_then_told(fresh):
    (fresh / ".venv" / "fail").touch()
    result = setup(fresh)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: cannot install requirements.txt")
    assert installs(fresh) == 2
    (fresh / ".venv" / "fail").unlink()
    assert setup(fresh).returncode == 0  # nothing claims to be installed after the failure


def test_an_old_python_is_refused_in_one_line(fresh, tmp_path):
    shutil.rmtree(fresh / ".venv")
    old = tmp_path / "python3.8"
    old.write_text('#!/usr/bin/env bash\n[[ $1 == --version ]] && echo "Python 3.8.18" && exit\nexit 1\n')
    old.chmod(0o755)
    result = setup(fresh, PYTHON=str(old))
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "Python 3.8.18; Python 3.10 or newer is needed" in result.stderr
    assert not (fresh / ".venv").exists()
