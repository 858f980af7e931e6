"""CLAP, ZS-LP, TaskRes and the cross-modal probe: the released codes' numbers, and training on views encoded once."""

import json

import pytest
import torch
import torch.nn.functional as F

import train
from tests.golden_cases import (
    TOLERANCE,
    assert_close,
    fill,
    golden,
    images_and_labels,
    load,
    loss_and_logits,
    seeded,
    tuned_clip,
)
from tests.seeded_weights import seeded_images, seeded_state_dict
from tests.small_data import few_digits
from trainers import feature_views
from trainers.feature_views import FeatureViews
from trainers.trainer import MethodTrainer

CLAP, TASKRES = golden("clap"), golden("taskres")
TRAINERS = {"ZS": "CLAP", "TR": "TaskRes", "CrossModal": "CrossModal"}
PROTOTYPES = "adapter.prototypes"


def built(case, names=CLAP["class_names"]):
    options = {"CONSTRAINT": case["CONSTRAINT"]} if case["INIT"] == "ZS" else {}
    return tuned_clip(TRAINERS[case["INIT"]], names, case["dataset"], **options)


def released(case):
    """What the released code's checkpoint holds of a case, with other values where these are not learned."""
    learned = seeded(case["learned"])[PROTOTYPES]
    logit_scale = seeded_state_dict("vit")["logit_scale"]
    return {"prototypes": learned, "base_text_features": torch.full_like(learned, 7.0), "logit_scale": logit_scale}


def name_of(case):
    return "-".join(case[key] for key in ("INIT", "CONSTRAINT", "dataset"))


def assert_shown(got, golden):
    assert abs(got.norm().item() - golden["norm"]) <= TOLERANCE * golden["norm"]
    assert (got.flatten()[golden["indices"]] - torch.tensor(golden["values"])).abs().max() <= TOLERANCE * golden["norm"]


@pytest.mark.parametrize("case", CLAP["cases"], ids=name_of)
def test_claps_released_text_features_multipliers_losses_gradients_and_logits(case):
    tuned = built(case)
    method, (images, labels) = tuned.method, images_and_labels(CLAP)
    assert_shown(method.base, case["base"])
    if "multipliers" in case:
        views = [
            seeded_images("vit", CLAP["image_count"], seed) for seed in (CLAP["image_seed"], CLAP["image_seed"] + 1)
        ]
        with torch.no_grad():
            features = torch.stack([tuned.clip.encode_image(view) for view in views])
        absent = [label for label in range(len(CLAP["class_names"])) if label not in CLAP["labels"]]
        features = torch.cat([features, features[:1, : len(absent)].expand(2, -1, -1)], dim=1)
        method.see_views(features, torch.tensor(CLAP["labels"] + absent))
        assert_close(method.multipliers, case["multipliers"])
    fill(method, {name: tensor for name, tensor in released(case).items() if name != "logit_scale"})
    terms = method.losses(tuned.outputs(images), labels)
    loss = sum(terms.values())
    assert_close(loss, case["loss"])
    if case["INIT"] == "CrossModal":
        assert set(terms) == {"image_cross_entropy", "text_cross_entropy"}
    else:
        assert set(terms) == ({"cross_entropy", "constraint"} if case["CONSTRAINT"] == "l2" else {"cross_entropy"})
        assert_close(terms["cross_entropy"], case["cross_entropy"])
    loss.backward()
    (learned,) = method.parameters()
    assert_shown(learned.grad, case["grads"][PROTOTYPES])
    assert_close(tuned.eval()(images), case["logits"])


@pytest.mark.parametrize("case", CLAP["cases"], ids=name_of)
def test_a_released_checkpoint_gives_its_logits_and_serves_a_part_of_the_classes(case, tmp_path):
    (tmp_path / "adapter").mkdir()
    checkpoint = {"state_dict": released(case), "epoch": 300, "optimizer": None, "scheduler": None}
    torch.save(checkpoint, tmp_path / "adapter" / "model.pth.tar-300")
    tuned = built(case).eval()
    assert load(tuned, tmp_path, epoch=300).epoch == 300
    assert_close(tuned(images_and_labels(CLAP)[0]), case["logits"])


def test_the_released_checkpoints_names_are_those_that_are_converted():
    assert set(CLAP["checkpoint_of_last_case"]["tensors"]) == set(released(CLAP["cases"][0]))
    assert CLAP["checkpoint_of_last_case"]["registered_as"] == "adapter"
    assert set(TASKRES["checkpoint_of_last_case"]["tensors"]) == {"text_feature_residuals", "base_text_features"}
    assert TASKRES["checkpoint_of_last_case"]["registered_as"] == "prompt_learner"


@pytest.mark.parametrize("case", TASKRES["cases"], ids=lambda case: case["dataset"])
def test_taskres_authors_logits_loss_gradients_and_checkpoint(case, tmp_path):
    options = {"RESIDUAL_SCALE": case["RESIDUAL_SCALE"]}
    tuned = tuned_clip("TaskRes", TASKRES["class_names"], case["dataset"], **options)
    ((name, residuals),) = seeded(case["learned"]).items()
    state = {name.removeprefix("prompt_learner."): residuals, "base_text_features": torch.zeros_like(residuals)}
    fill(tuned.method, state)
    loss, logits = loss_and_logits(tuned, *images_and_labels(TASKRES))
    assert_close(logits, case["logits"])
    assert_close(loss, case["loss"])
    loss.backward()
    assert_shown(tuned.method.residuals.grad, case["grads"][name])
    (tmp_path / "prompt_learner").mkdir()
    torch.save({"state_dict": state, "epoch": 200}, tmp_path / "prompt_learner" / "model.pth.tar-200")
    again = tuned_clip("TaskRes", TASKRES["class_names"], case["dataset"], **options).eval()
    load(again, tmp_path, epoch=200)
    assert_close(again(images_and_labels(TASKRES)[0]), case["logits"])


@pytest.mark.parametrize("trainer", ["CLAP", "TaskRes", "CrossModal"])
def test_classes_that_were_not_trained_on_are_zero_shot(trainer, capsys):
    torch.manual_seed(0)
    names = CLAP["class_names"]
    trained = tuned_clip(trainer, names).method
    (learned,) = trained.parameters()
    learned.data += torch.randn_like(learned)
    mixed = ["new class", names[4], names[1]]
    method, fresh = (tuned_clip(trainer, mixed).method for _ in range(2))
    method.load_state_dict(method.select_classes(trained.state_dict(), names))
    assert capsys.readouterr().out == "1 of the 3 classes were not trained on: they have zero-shot CLIP's logits\n"
    features = torch.randn(5, 32)
    with torch.no_grad():
        torch.testing.assert_close(method(features)[:, 1:], trained(features)[:, [4, 1]], rtol=1e-4, atol=1e-4)
        assert torch.equal(method(features)[:, 0], fresh(features)[:, 0])


# views


def test_a_batch_of_views_has_its_images_each_in_a_view_of_its_own():
    features = torch.arange(4)[:, None, None] * 100.0 + torch.arange(6)[:, None]  # view * 100 + image, (4, 6, 1)
    data = FeatureViews(features, torch.arange(6) % 2, [f"{number}.png" for number in range(6)])
    torch.manual_seed(0)
    seen = set()
    for _ in range(100):
        batch = data.__getitems__([5, 0, 3])
        assert batch["label"].tolist() == [1, 0, 1] and batch["impath"] == ["5.png", "0.png", "3.png"]
        assert (batch["img"][:, 0] % 100).tolist() == [5, 0, 3]
        seen |= {tuple((batch["img"][:, 0] // 100).tolist())}
    assert len(seen) > 30  # of 64


def test_processes_share_a_batch_of_views_and_draw_alike(monkeypatch):
    features = torch.randn(4, 6, 2)
    data = FeatureViews(features, torch.arange(6), [f"{number}.png" for number in range(6)])
    parts = []
    for own in (slice(0, 5), slice(0, 3), slice(3, 5)):
        monkeypatch.setattr(feature_views, "share", lambda count, own=own: own)
        torch.manual_seed(0)
        parts.append(data.__getitems__([4, 1, 5, 0, 2]))
    whole, *shares = parts
    assert torch.equal(whole["img"], torch.cat([share["img"] for share in shares]))
    assert whole["impath"] == shares[0]["impath"] + shares[1]["impath"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(data, root, capsys):
    def run(trainer, output, *pairs, tested=None):
        node = {"CrossModal": "CROSS_MODAL"}.get(trainer, trainer.upper())
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / "configs/datasets/digits.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml")],
                *([] if tested is None else ["--eval-only", "--model-dir", str(tested)]),
                *["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "3", f"TRAINER.{node}.VIEWS", "2"],
                *["DATALOADER.TRAIN_X.BATCH_SIZE", "8", *pairs],
            ]
        )
        return code, *capsys.readouterr()

    return run


def learned_in(folder):
    state = torch.load(folder / "prompt_learner" / "model.pth.tar-3", weights_only=True)["state_dict"]
    (tensor,) = state.values()
    return tensor


@pytest.mark.parametrize("trainer", ["CLAP", "TaskRes", "CrossModal"])
def test_a_killed_run_has_the_same_views_and_ends_with_the_same_bits(trainer, run, tmp_path, monkeypatch):
    code, out, error = run(trainer, tmp_path / "whole")
    assert code == 0, error
    assert "2 views of each of the 20 training images were encoded once" in out
    step = MethodTrainer.forward_backward

    def killed(self, batch):
        if self.epoch == 1 and self.batch_idx == 1:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(MethodTrainer, "forward_backward", killed)
        assert run(trainer, tmp_path / "killed", "TRAIN.CHECKPOINT_STEPS", "1")[0] == 130
    torch.manual_seed(5)
    code, out, error = run(trainer, tmp_path / "killed", "TRAIN.CHECKPOINT_STEPS", "1")
    assert code == 0 and "will resume" in out, error
    assert torch.equal(learned_in(tmp_path / "whole"), learned_in(tmp_path / "killed"))
    accuracy = [json.loads((tmp_path / name / "results.json").read_text())["metrics"] for name in ("whole", "killed")]
    assert accuracy[0] == accuracy[1]


def test_images_are_read_for_the_views_alone(run, tmp_path, monkeypatch):
    from dassl.data import data_manager

    read = []
    monkeypatch.setattr(data_manager.DatasetWrapper, "_decode", counting(read, data_manager.DatasetWrapper._decode))
    code, _, error = run("CLAP", tmp_path, "TEST.NO_TEST", "True")
    assert code == 0, error
    assert len(read) == 2 * 20


def counting(calls, function):
    def counted(self, index):
        calls.append(index)
        return function(self, index)

    return counted


def test_without_views_taskres_sees_another_view_in_every_step(run, tmp_path):
    code, out, error = run("TaskRes", tmp_path, "TRAINER.TASKRES.VIEWS", "0")
    assert code == 0, error
    assert "encoded once" not in out


def test_the_constraint_keeps_clap_nearer_to_zero_shot_clip(run, tmp_path):
    distances = {}
    for constraint in ("l2", "none"):
        code, _, error = run("CLAP", tmp_path / constraint, "TRAINER.CLAP.CONSTRAINT", constraint, "OPTIM.LR", "5.0")
        assert code == 0, error
        distances[constraint] = learned_in(tmp_path / constraint)
    start = learned_in_before_training(tmp_path, run)
    assert (distances["l2"] - start).norm() < 0.9 * (distances["none"] - start).norm()


def learned_in_before_training(folder, run):
    run("CLAP", folder / "start", "OPTIM.LR", "0.0", "OPTIM.WARMUP_CONS_LR", "0.0")
    return learned_in(folder / "start")


@pytest.mark.parametrize("trainer", ["CLAP", "TaskRes", "CrossModal"])
def test_new_classes_are_tested_as_zero_shot_clip_does(trainer, run, tmp_path):
    assert run(trainer, tmp_path / "base", "DATASET.SUBSAMPLE_CLASSES", "base")[0] == 0
    code, out, error = run(trainer, tmp_path / "new", "DATASET.SUBSAMPLE_CLASSES", "new", tested=tmp_path / "base")
    assert code == 0, error
    assert "5 of the 5 classes were not trained on: they have zero-shot CLIP's logits" in out


def test_the_loss_of_the_cross_modal_probe_is_that_of_a_batch_with_as_many_texts_as_images():
    tuned = tuned_clip("CrossModal", CLAP["class_names"])
    images, labels = images_and_labels(CLAP)
    outputs = tuned.outputs(images.repeat(2, 1, 1, 1))
    texts = tuned.method(tuned.method.text_features.flatten(0, 1))
    wanted = F.cross_entropy(torch.cat([outputs.logits, texts]), torch.cat([labels, labels, torch.arange(6)]))
    torch.testing.assert_close(sum(tuned.method.losses(outputs, labels.repeat(2)).values()), wanted)
