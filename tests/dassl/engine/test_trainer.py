import os
import re
import shutil
import sys

import pytest
import torch

from dassl.engine import TRAINER_REGISTRY, TrainerBase, TrainerX, build_trainer
from dassl.utils import NonFiniteLossError, UserError, load_checkpoint

HOOKS = ["before_train", "before_epoch", "run_epoch", "after_epoch", "after_train"]


@pytest.fixture
def linear():
    return TRAINER_REGISTRY.get("Linear")


def recording(trainer_class, names):
    """A subclass whose methods ``names`` write their name to ``calls`` before they do what they did."""

    def wrap(name):
        def method(self, *args, **kwargs):
            self.calls.append(name)
            return getattr(super(Recording, self), name)(*args, **kwargs)

        return method

    Recording = type("Recording", (trainer_class,), {name: wrap(name) for name in names})
    Recording.calls = []
    return Recording


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_hooks_are_called_in_order():
    class Bare(TrainerBase):
        def run_epoch(self):
            self.calls.append(self.epoch)

    trainer = recording(Bare, HOOKS)()
    trainer.train(1, 3)
    assert trainer.calls == (
        ["before_train"]
        + ["before_epoch", "run_epoch", 1, "after_epoch"]
        + ["before_epoch", "run_epoch", 2, "after_epoch"]
        + ["after_train"]
    )


def test_run_of_a_config_calls_every_hook(build, linear):
    steps = ["build_data_loader", "build_model", *HOOKS, "forward_backward", "test", "save_model"]
    trainer = build(recording(linear, ["check_cfg", *steps]), OPTIM__MAX_EPOCH="1")
    trainer.train()
    assert trainer.calls == (
        ["check_cfg", "build_data_loader", "build_model", "before_train", "before_epoch", "run_epoch"]
        + ["forward_backward"] * 5
        + ["after_epoch", "save_model", "after_train", "test"]
    )


def test_attributes_that_trainers_use(build):
    trainer = build()
    assert trainer.device == torch.device("cpu")
    assert (trainer.start_epoch, trainer.epoch, trainer.max_epoch) == (0, 0, 3)
    assert trainer.output_dir == trainer.cfg.OUTPUT_DIR
    assert trainer.num_classes == 3 and trainer.lab2cname[0] == "red"
    assert trainer.train_loader_x is trainer.dm.train_loader_x and trainer.train_loader_u is None
    assert trainer.val_loader is trainer.dm.val_loader and trainer.test_loader is trainer.dm.test_loader
    assert trainer.best_result == -float("inf")
    assert list(trainer._models) == list(trainer._optims) == list(trainer._scheds) == ["learner"]
    assert trainer.get_current_lr() == 1e-5  # the warm-up
    trainer.train()
    assert (trainer.epoch, trainer.batch_idx, trainer.num_batches) == (2, 4, 5)
    assert trainer.train_seconds > 0 and trainer.test_seconds > 0
    assert trainer.peak_memory > 50 * 2**20


def test_training_learns_and_returns_the_accuracy(build):
    trainer = build(OPTIM__MAX_EPOCH="20", OPTIM__LR="0.05")
    trainer.train()
    accuracy = trainer.test()
    assert accuracy == trainer.test_results["accuracy"] > 80
    assert trainer.test_results["total"] == 12
    assert trainer.test_results["correct"] == round(12 * accuracy / 100)
    trainer.test("val")
    assert trainer.test_results["total"] == 6


def test_log_lines_have_upstreams_form(build, capsys):
    build(TRAIN__PRINT_FREQ="2").train()
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("epoch [")]
    assert len(lines) == 6  # batches 2 and 4 of five, in three epochs
    number = r"\d+\.\d{3} \(\d+\.\d{3}\)"
    metric = r"\d+\.\d{4} \(\d+\.\d{4}\)"
    assert re.fullmatch(
        rf"epoch \[1/3\] batch \[2/5\] time {number} data {number} loss {metric} acc {metric} "
        r"lr 1\.0000e-05 eta 0:00:\d\d",
        lines[0],
    )
    tail = out[out.index("Finish training") :].splitlines()
    assert tail[:4] == ["Finish training", "Deploy the last-epoch model", "Evaluate on the *test* set", "=> result"]
    assert tail[4] == "* total: 12"
    assert re.fullmatch(r"Elapsed: 0:00:\d\d", tail[-1])


def test_few_batches_are_all_reported(build, capsys):
    build(OPTIM__MAX_EPOCH="1").train()  # five batches, fewer than PRINT_FREQ 10
    assert sum(line.startswith("epoch [") for line in capsys.readouterr().out.splitlines()) == 5


def test_no_test_and_val_split_are_respected(build, capsys):
    build(TEST__NO_TEST="True", OPTIM__MAX_EPOCH="1").train()
    assert "Evaluate" not in capsys.readouterr().out
    build(TEST__SPLIT="val").test()
    assert "Evaluate on the *val* set" in capsys.readouterr().out


def test_same_seed_gives_the_same_weights_and_another_seed_others(build, tmp_path):
    found = []
    for run, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        trainer = build(OUTPUT_DIR=str(tmp_path / run), SEED=seed)
        trainer.train()
        found.append(weights(trainer))
    assert_same_weights(found[0], found[1])
    assert not torch.equal(found[0]["2.weight"], found[2]["2.weight"])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("hook", ["run_epoch", "before_epoch", "after_epoch"])
@pytest.mark.parametrize("final", ["last_step", "best_val"])
def test_killed_run_resumes_to_the_same_bits(build, linear, tmp_path, hook, final):
    settings = {"OPTIM__MAX_EPOCH": "4", "OPTIM__LR": "0.05", "TEST__FINAL_MODEL": final}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()

    class Dying(linear):
        pass

    def die(self):
        if self.epoch == 2:
            if hook == "run_epoch":
                next(iter(self.train_loader_x))
            raise Killed
        getattr(super(Dying, self), hook)()

    setattr(Dying, hook, die)
    with pytest.raises(Killed):
        build(Dying, OUTPUT_DIR=str(tmp_path / "killed"), **settings).train()
    resumed = build(OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    resumed.train()
    assert resumed.start_epoch == 2
    assert resumed.best_result == whole.best_result
    assert_same_weights(weights(whole), weights(resumed))
    files = {run: sorted(os.listdir(tmp_path / run / "learner")) for run in ("whole", "killed")}
    assert files["whole"] == files["killed"]
    for name in files["whole"]:
        if name != "checkpoint":
            first, second = (load_checkpoint(str(tmp_path / run / "learner" / name)) for run in ("whole", "killed"))
            assert_same_weights(first["state_dict"], second["state_dict"])
            for key in ("epoch", "val_result", "scheduler"):
                assert first[key] == second[key]
            for buffer, other in zip(*(c["optimizer"]["state"].values() for c in (first, second)), strict=True):
                assert torch.equal(buffer["momentum_buffer"], other["momentum_buffer"])


def test_checkpoint_files_and_contents(build, tmp_path):
    trainer = build(OPTIM__MAX_EPOCH="5", TRAIN__CHECKPOINT_FREQ="2")
    trainer.train()
    folder = os.path.join(trainer.output_dir, "learner")
    assert sorted(os.listdir(folder)) == ["checkpoint", "model.pth.tar-2", "model.pth.tar-4", "model.pth.tar-5"]
    checkpoint = load_checkpoint(os.path.join(folder, "model.pth.tar-5"))
    assert {"state_dict", "epoch", "optimizer", "scheduler", "val_result"} <= set(checkpoint)
    assert checkpoint["epoch"] == 5
    assert_same_weights(checkpoint["state_dict"], weights(trainer))


def test_only_the_last_checkpoint_is_kept_and_announced_by_default(build, capsys):
    trainer = build()
    trainer.train()
    assert sorted(os.listdir(os.path.join(trainer.output_dir, "learner"))) == ["checkpoint", "model.pth.tar-3"]
    assert capsys.readouterr().out.count("Checkpoint saved to") == 1


def test_files_of_an_earlier_run_are_not_removed(build):
    build().train()
    known = build()
    known.train()  # nothing is left to do
    assert known.start_epoch == 3 and known.epoch_metrics.state_dict()["acc"][1] == 5
    longer = build(OPTIM__MAX_EPOCH="5")
    longer.train()
    assert longer.start_epoch == 3
    names = sorted(os.listdir(os.path.join(longer.output_dir, "learner")))
    assert names == ["checkpoint", "model.pth.tar-3", "model.pth.tar-5"]
    with pytest.raises(UserError, match="run of 5 epochs, more than OPTIM.MAX_EPOCH 3"):
        build().train()


def test_a_run_begun_with_other_settings_is_not_gone_on_with_unless_asked(build, tmp_path, capsys):
    begun = build(OPTIM__MAX_EPOCH="1")
    begun.train()
    with pytest.raises(UserError, match=r"unfinished run with other settings \(OPTIM.LR .*, now 0.125\)"):
        build(OPTIM__LR="0.125").train()
    asked = build(OPTIM__LR="0.125", RESUME=begun.output_dir, OUTPUT_DIR=str(tmp_path / "asked"))
    asked.train()
    assert asked.start_epoch == 1
    assert "Settings changed on resuming: OPTIM.LR" in capsys.readouterr().out


def test_a_run_begun_on_other_images_is_not_gone_on_with_unless_asked(build, tmp_path, capsys):
    begun = build(OPTIM__MAX_EPOCH="1")
    begun.train()

    def with_fewer(**changes):
        trainer = build(**changes)
        del trainer.dm.dataset.train_x[-1]
        return trainer

    with pytest.raises(UserError, match=r"unfinished run on other training images \(21, now 20\)"):
        with_fewer().train()
    asked = with_fewer(RESUME=begun.output_dir, OUTPUT_DIR=str(tmp_path / "asked"))
    asked.train()
    assert asked.start_epoch == 1
    assert "Training images changed on resuming: 21, now 20" in capsys.readouterr().out


def test_finished_run_is_only_tested_again(build, linear, capsys):
    build().train()
    again = build(recording(linear, ["run_epoch", "test"]))
    again.train()
    assert again.calls == ["test"]


def test_resume_from_another_folder(build, tmp_path):
    first = build(OUTPUT_DIR=str(tmp_path / "first"), OPTIM__MAX_EPOCH="2")
    first.train()
    second = build(RESUME=str(tmp_path / "first"), OUTPUT_DIR=str(tmp_path / "second"))
    second.train()
    assert second.start_epoch == 2
    with pytest.raises(UserError, match="nowhere.*RESUME"):
        build(RESUME=str(tmp_path / "nowhere"), OUTPUT_DIR=str(tmp_path / "third")).train()


@pytest.mark.parametrize(
    "entry, value",
    [("epoch", None), ("optimizer", [1]), ("optimizer", {"param_groups": 3, "state": 3}), ("scheduler", 7), ("run", [])]
    + [("run", {"settings": 3}), ("state_dict", {"weight": torch.ones(9)})],
    ids=str,
)
def test_a_checkpoint_whose_entries_are_damaged_is_not_resumed(entry, value, build, linear, tmp_path):
    build(OUTPUT_DIR=str(tmp_path / "first"), OPTIM__MAX_EPOCH="1").train()
    path = next((tmp_path / "first").glob("*/model.pth.tar-1"))
    torch.save({**torch.load(path), entry: value}, path)
    trainer = build(OUTPUT_DIR=str(tmp_path / "second"), RESUME=str(tmp_path / "first"), OPTIM__MAX_EPOCH="2")
    with pytest.raises(UserError, match="model.pth.tar-1"):
        trainer.train()


def test_models_whose_files_were_half_written_resume_from_the_epoch_they_share(build, linear):
    class Two(linear):
        def build_model(self):
            super().build_model()
            self.second = torch.nn.Linear(2, 2)
            self.register_model("second", self.second)

    trainer = build(Two, TRAIN__CHECKPOINT_FREQ="1")
    trainer.train()
    pointer = os.path.join(trainer.output_dir, "second", "checkpoint")
    with open(pointer, "w") as file:
        file.write("model.pth.tar-2\n")
    assert build(Two).resume_model_if_exist(trainer.output_dir) == 2


def test_best_val_keeps_and_tests_the_best_epoch(build, linear, capsys):
    class Fading(linear):
        """Best on the val split in its second epoch."""

        def test(self, split=None):
            result = super().test(split)
            return {0: 40.0, 1: 60.0, 2: 50.0}[self.epoch] if split == "val" else result

    trainer = build(Fading, TEST__FINAL_MODEL="best_val")
    trainer.train()
    folder = os.path.join(trainer.output_dir, "learner")
    assert sorted(os.listdir(folder)) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-3"]
    best = load_checkpoint(os.path.join(folder, "model-best.pth.tar"))
    assert (best["epoch"], best["val_result"], trainer.best_result) == (2, 60.0, 60.0)
    assert_same_weights(best["state_dict"], weights(trainer))
    assert "Deploy the model with the best val performance" in capsys.readouterr().out


def test_best_val_without_val_split_is_an_error(build):
    with pytest.raises(UserError, match="no val split"):
        build(TEST__FINAL_MODEL="best_val", DATASET__NAME="SquaresWithoutVal").train()


def test_load_model_takes_the_best_the_last_or_the_epoch_asked_for(build, tmp_path, capsys):
    trainer = build(TEST__FINAL_MODEL="best_val", TRAIN__CHECKPOINT_FREQ="1", OPTIM__LR="0.05")
    trainer.train()
    folder = os.path.join(trainer.output_dir, "learner")

    def loaded(epoch=None):
        other = build(OUTPUT_DIR=str(tmp_path / "other"))
        other.load_model(trainer.output_dir, epoch)
        return weights(other)

    for epoch, name in ((None, "model-best.pth.tar"), (1, "model.pth.tar-1"), (3, "model.pth.tar-3")):
        assert_same_weights(loaded(epoch), load_checkpoint(os.path.join(folder, name))["state_dict"])
    os.remove(os.path.join(folder, "model-best.pth.tar"))
    assert_same_weights(loaded(), load_checkpoint(os.path.join(folder, "model.pth.tar-3"))["state_dict"])
    with pytest.raises(UserError, match="model.pth.tar-7"):
        loaded(7)
    trainer.load_model("")
    assert "no model is loaded" in capsys.readouterr().out


def test_load_model_from_another_method_is_an_error(build, tmp_path):
    trainer = build()
    other = torch.nn.Linear(1, 1)
    torch.save({"state_dict": other.state_dict(), "epoch": 1}, tmp_path / "model.pth.tar-1")
    os.makedirs(tmp_path / "learner")
    os.replace(tmp_path / "model.pth.tar-1", tmp_path / "learner" / "model.pth.tar-1")
    with pytest.raises(UserError, match='learner/model.pth.tar-1 .*"2.weight"'):
        trainer.load_model(str(tmp_path), epoch=1)
    with pytest.raises(UserError, match="no checkpoint folder .*nowhere/learner"):
        trainer.load_model(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("reads_every_step", [True, False])
@pytest.mark.parametrize("through_model_backward", [True, False])
def test_loss_that_is_not_finite_stops_the_run(build, linear, through_model_backward, reads_every_step):
    class Diverging(linear):
        reads_every_step = None

        def forward_backward(self, batch):
            bad = self.epoch == 1 and self.batch_idx == 2
            loss = torch.tensor(float("nan") if bad else 1.0, requires_grad=True)
            if through_model_backward:
                self.model_backward_and_update(loss)
            return {"loss": loss.detach()}

    Diverging.reads_every_step = reads_every_step
    trainer = build(Diverging)
    with pytest.raises(NonFiniteLossError, match="epoch 2, batch 3") as caught:
        trainer.train()
    assert sorted(os.listdir(os.path.join(trainer.output_dir, "learner"))) == ["checkpoint", "model.pth.tar-1+0"]
    assert isinstance(caught.value, UserError) and isinstance(caught.value, FloatingPointError)


def test_what_steps_report_is_read_where_it_is_printed_or_the_epoch_ends(build, linear, capsys):
    class Reporting(linear):
        reads_every_step = True

    def lines_and_points(reads_every_step):
        Reporting.reads_every_step = reads_every_step
        torch.manual_seed(0)
        trainer, points = build(Reporting), []
        shutil.rmtree(trainer.output_dir, ignore_errors=True)
        trainer.write_scalar = lambda *point: points.append(point)
        trainer.cfg.defrost()
        trainer.cfg.TRAIN.PRINT_FREQ = 2
        capsys.readouterr()
        trainer.train()
        printed = [line for line in capsys.readouterr().out.splitlines() if " loss " in line]
        return [line.split(" loss ")[1].split(" eta ")[0] for line in printed], points

    at_once, later = lines_and_points(True), lines_and_points(False)
    assert later == at_once and len(at_once[0]) == 6 and len(at_once[1]) > 15


def test_one_step_zeroes_gradients_and_steps_the_named_models():
    trainer = TrainerBase()
    for name in ("a", "b", "frozen"):
        model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(model.weight, 1.0)
        trainer.register_model(name, model, torch.optim.SGD(model.parameters(), lr=0.1) if name != "frozen" else None)
    first, second, frozen = trainer._models.values()
    for _ in range(2):
        loss = sum(model(torch.ones(1)) for model in (first, second, frozen)).sum()
        trainer.model_backward_and_update(loss, "a")
    assert first.weight.item() == pytest.approx(0.8)  # gradients are not summed over the steps
    assert second.weight.item() == frozen.weight.item() == 1.0


def test_registering_and_naming_models():
    trainer = TrainerBase()
    trainer.register_model("a", torch.nn.Linear(1, 1))
    trainer.register_model("b", torch.nn.Linear(1, 1))
    assert trainer.get_model_names() == ["a", "b"]
    assert trainer.get_model_names("b") == ["b"] == trainer.get_model_names(["b"])
    for wrong in (lambda: trainer.register_model("a"), lambda: trainer.get_model_names("c")):
        with pytest.raises(AssertionError):
            wrong()
    trainer.set_model_mode("eval", "a")
    assert not trainer._models["a"].training and trainer._models["b"].training
    with pytest.raises(KeyError):
        trainer.set_model_mode("tain")
    trainer.update_lr()  # without schedulers, nothing to do


def test_update_lr_steps_the_scheduler_once_per_epoch(build):
    trainer = build(OPTIM__MAX_EPOCH="4")
    seen = []
    run_epoch = trainer.run_epoch
    trainer.run_epoch = lambda: (seen.append(trainer.get_current_lr()), run_epoch())
    trainer.train()
    assert seen == pytest.approx([1e-5, 0.01, 0.01 * 0.853553390593, 0.005])


def test_scaler_of_mixed_precision_is_resumed(build, linear):
    class Scaled(linear):
        def build_model(self):
            super().build_model()
            self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

        def forward_backward(self, batch):
            self.scaler.scale(torch.ones(1))  # the scale exists from its first use
            self.scaler.update(8.0)
            return super().forward_backward(batch)

    trainer = build(Scaled)
    trainer.train()
    resumed = build(Scaled)
    assert resumed.resume_model_if_exist(trainer.output_dir) == 3
    assert resumed.scaler.get_scale() == 8.0
    assert resumed.train_seconds == trainer.train_seconds


def test_curves_are_written_if_tensorboard_is_there_and_otherwise_not_missed(build, monkeypatch):
    class Writer:
        scalars = []

        def __init__(self, log_dir):
            self.log_dir = log_dir

        def add_scalar(self, tag, value, step):
            self.scalars.append((tag, step))

        def close(self):
            self.scalars.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # importing it fails
    build(OPTIM__MAX_EPOCH="1").train()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", type("Module", (), {"SummaryWriter": Writer}))
    trainer = build(OPTIM__MAX_EPOCH="2")
    trainer.train()
    assert trainer._writer.log_dir == os.path.join(trainer.output_dir, "tensorboard")
    assert Writer.scalars[:3] == [("train/loss", 5), ("train/acc", 5), ("train/lr", 5)]
    assert ("test/accuracy", 1) in Writer.scalars and Writer.scalars[-1] == "closed"


def test_unknown_and_incomplete_trainers_are_errors(build):
    with pytest.raises(UserError, match='unknown trainer "Linaer" .did you mean "Linear"'):
        build(build_trainer, TRAINER__NAME="Linaer")
    with pytest.raises(UserError, match="no backbone is named"):  # by default a trainer builds the network of MODEL
        build(TrainerX)
    with pytest.raises(UserError, match='TEST.FINAL_MODEL "best-val" .did you mean "best_val"'):
        build(TEST__FINAL_MODEL="best-val")


def test_test_leaves_no_graph_and_puts_models_in_eval_mode(build, linear):
    class Checking(linear):
        def model_inference(self, images):
            output = super().model_inference(images)
            assert not output.requires_grad and not self.model.training
            return output

    build(Checking).test()
