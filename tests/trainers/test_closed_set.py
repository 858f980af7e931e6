"""Methods that know only the classes they were trained on, through the command line on the embedded CLIP."""

import json

import pytest
import torch

import train
from tests.seeded_weights import seeded_state_dict
from tests.small_data import few_digits
from trainers.trainer import MethodTrainer

PAIRS = {"TipAdapterF": ["OPTIM.MAX_EPOCH", "2"]}
CACHES = ["TipAdapter", "TipAdapterF"]
METHODS = ["LinearProbe", "GDA", *CACHES]
BASE, NEW = (["DATASET.SUBSAMPLE_CLASSES", half] for half in ("base", "new"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(data, root, capsys):
    """Run train.py on digits, 2 images per class, with the embedded CLIP; returns exit code, output and error.

    `tested` is the folder of a training run that is only tested, "" tests without one.
    """

    def run(trainer, output, *pairs, tested=None):
        few = [
            "TRAINER.TIP_ADAPTER.AUGMENT_EPOCH",
            "2",
            "TRAINER.GDA.VIEWS",
            "2",
            "DATASET.NUM_SHOTS",
            "2",
            *PAIRS.get(trainer, []),
        ]
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / "configs/datasets/digits.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml")],
                *([] if tested is None else ["--eval-only", "--model-dir", str(tested)]),
                *few,
                *pairs,
            ]
        )
        return code, *capsys.readouterr()

    return run


def results(folder):
    return json.loads((folder / "results.json").read_text())


def tensors(folder, epoch):
    return torch.load(folder / "prompt_learner" / f"model.pth.tar-{epoch}", weights_only=True)["state_dict"]


@pytest.mark.parametrize("trainer", METHODS)
def test_two_runs_with_one_seed_are_identical(trainer, run, tmp_path):
    epoch = int(PAIRS.get(trainer, ["", "1"])[1])
    for name in ("one", "two"):
        code, out, error = run(trainer, tmp_path / name)
        assert code == 0, error
    one, two = tensors(tmp_path / "one", epoch), tensors(tmp_path / "two", epoch)
    assert all(torch.equal(one[name], two[name]) for name in one)
    found = results(tmp_path / "one")
    assert found["metrics"] == results(tmp_path / "two")["metrics"]
    assert found["seconds"]["train"] > 0
    width = tensors(tmp_path / "one", epoch)["keys" if trainer in CACHES else "weight"].shape[1]
    learned = {"LinearProbe": 10 * width + 10, "TipAdapter": 0, "TipAdapterF": 20 * width, "GDA": 0}
    assert found["learned_parameters"] == learned[trainer]
    if trainer != "TipAdapterF":  # they see their images once, without steps that could collapse
        assert found["training_accuracy"] is found["zero_shot_training_accuracy"] is None and "warning" not in out


def test_a_killed_run_of_tip_adapter_f_resumes_to_the_same_bits(run, tmp_path, monkeypatch):
    from trainers.tip_adapter import TipAdapterF

    run("TipAdapterF", tmp_path / "whole")
    run_epoch = TipAdapterF.run_epoch

    def killed(self):
        if self.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(self)

    with monkeypatch.context() as patched:
        patched.setattr(TipAdapterF, "run_epoch", killed)
        assert run("TipAdapterF", tmp_path / "killed")[0] == 130
    code, out, error = run("TipAdapterF", tmp_path / "killed")
    assert code == 0 and "will resume" in out, error
    whole, resumed = tensors(tmp_path / "whole", 2), tensors(tmp_path / "killed", 2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["keys"], torch.zeros_like(whole["keys"]))


def test_tip_adapter_f_ends_with_a_rate_of_zero_and_the_released_optimizer(run, tmp_path):
    run("TipAdapterF", tmp_path)
    checkpoint = torch.load(tmp_path / "prompt_learner" / "model.pth.tar-2", weights_only=True)
    (group,) = checkpoint["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(0, abs=1e-12)
    assert (group["eps"], group["weight_decay"], group["betas"]) == (1e-4, 0.01, (0.9, 0.999))


def test_the_linear_probe_refuses_new_classes_and_other_data_sets_in_one_line(run, tmp_path):
    assert run("LinearProbe", tmp_path / "base", *BASE)[0] == 0
    code, _, error = run("LinearProbe", tmp_path / "new", *NEW, tested=tmp_path / "base")
    assert code == 2 and error.count("\n") == 1
    assert 'it has weight and bias for the 5 classes of its training alone, and class "' in error


@pytest.mark.parametrize("trainer", METHODS)
def test_a_part_of_the_classes_keeps_its_rows(trainer, run, tmp_path):
    """All classes are trained, the new half of them is tested: with rows by place it would be near chance."""
    assert run(trainer, tmp_path / "all")[0] == 0
    code, _, error = run(trainer, tmp_path / "new", *NEW, tested=tmp_path / "all")
    assert code == 0, error
    half, whole = results(tmp_path / "new"), results(tmp_path / "all")
    assert half["num_classes"] == whole["num_classes"] / 2
    assert half["metrics"]["accuracy"] > whole["metrics"]["accuracy"] - 10


@pytest.mark.parametrize("trainer", CACHES)
def test_on_new_classes_tip_adapter_is_zero_shot_clip(trainer, run, tmp_path):
    run(trainer, tmp_path / "base", *BASE)
    code, out, error = run(trainer, tmp_path / "new", *NEW, tested=tmp_path / "base")
    assert code == 0, error
    assert "0 of 10 cached images are of classes of this test; 5 of its 5 classes have none" in out
    run("ZeroshotCLIP", tmp_path / "zero-shot", *NEW, tested="")
    assert results(tmp_path / "new")["metrics"] == pytest.approx(results(tmp_path / "zero-shot")["metrics"])


def test_on_new_classes_gda_is_zero_shot_clip(run, tmp_path):
    run("GDA", tmp_path / "base", *BASE)
    code, out, error = run("GDA", tmp_path / "new", *NEW, tested=tmp_path / "base")
    assert code == 0, error
    assert "5 of the 5 classes were not trained on: they have zero-shot CLIP's logits" in out
    run("ZeroshotCLIP", tmp_path / "zero-shot", *NEW, tested="")
    assert results(tmp_path / "new")["metrics"] == pytest.approx(results(tmp_path / "zero-shot")["metrics"])


@pytest.mark.parametrize("trainer", ["LinearProbe", *CACHES])
def test_without_val_images_what_is_not_searched_is_told(trainer, run, tmp_path, monkeypatch):
    monkeypatch.setattr(MethodTrainer, "val_loader", None, raising=False)
    build = MethodTrainer.build_data_loader

    def test_images_only(self):
        build(self)
        self.dm.dataset._val = self.dm.dataset.test  # as ImageNet's

    monkeypatch.setattr(MethodTrainer, "build_data_loader", test_images_only)
    code, out, error = run(trainer, tmp_path)
    assert code == 0, error
    kept = {"LinearProbe": "C is 1.0"}.get(trainer, "alpha 1.17 and beta 1 are kept")
    assert out.count(f"Digits has no val images that are not test images: {kept}") == 1


@pytest.mark.parametrize("trainer", ["LinearProbe", "TipAdapter", "GDA"])
def test_more_than_one_epoch_is_refused(trainer, run, tmp_path):
    code, _, error = run(trainer, tmp_path, "OPTIM.MAX_EPOCH", "2")
    assert code == 2 and error == f"error: OPTIM.MAX_EPOCH is 2: {trainer} has no epochs, set it to 1\n"


def test_a_grid_that_cannot_be_searched_is_refused_before_any_work(run, tmp_path):
    code, _, error = run("TipAdapter", tmp_path / "out", "TRAINER.TIP_ADAPTER.SEARCH_STEP", "[200]")
    assert code == 2 and error.count("\n") == 1 and "TRAINER.TIP_ADAPTER.SEARCH_STEP is [200]" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trainer", METHODS)
def test_testing_needs_a_trained_model_of_the_same_method(trainer, run, tmp_path):
    code, _, error = run(trainer, tmp_path / "none", tested="")
    assert code == 2 and "--model-dir" in error and error.count("\n") == 1
    other = "TipAdapter" if trainer == "LinearProbe" else "LinearProbe"
    run(other, tmp_path / "other")
    code, _, error = run(trainer, tmp_path / "test", tested=tmp_path / "other")
    assert code == 2 and "it belongs to another method" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("trainer", "precision"),
    [
        ("LinearProbe", "bf16"),
        ("GDA", "bf16"),
        ("TipAdapter", "fp32"),
        ("TipAdapterF", "bf16"),
        ("CLIP_Adapter", "bf16"),
    ],
)
def test_a_resnet_serves_as_well(trainer, precision, run, tmp_path):
    state = seeded_state_dict("resnet")
    torch.save(state, tmp_path / "resnet.pt")
    node = (
        "TIP_ADAPTER"
        if trainer in CACHES
        else {"LinearProbe": "LINEAR_PROBE", "GDA": "GDA"}.get(trainer, "CLIP_ADAPTER")
    )
    pairs = ["MODEL.BACKBONE.PATH", str(tmp_path / "resnet.pt"), "INPUT.SIZE", "(64, 64)"]
    pairs += [f"TRAINER.{node}.PREC", precision, *BASE]
    pairs += ["OPTIM.MAX_EPOCH", "1"]
    code, _, error = run(trainer, tmp_path / "run", *pairs)
    assert code == 0, error
    assert results(tmp_path / "run")["metrics"]["total"] > 0
