"""Runs that are stopped, killed or damaged in the middle of an epoch end as if nothing had been."""

import os
import random
import signal
import zipfile

import numpy as np
import pytest
import torch

from dassl.data import data_manager
from dassl.engine import TRAINER_REGISTRY, epoch_batches
from dassl.utils import CheckpointError, ConfigError, NonFiniteLossError, load_checkpoint
from dassl.utils.random_states import random_states, set_random_states
from dassl.utils.stop import StopRequest, handled


@pytest.fixture(autouse=True)
def heeded_signals():
    """A shell that runs the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def linear():
    return TRAINER_REGISTRY.get("Linear")


class Killed(BaseException):
    pass


def disturbed(trainer_class, epoch, batch, happens):
    """A subclass to which something ``happens`` in a step, before it is taken."""

    class Disturbed(trainer_class):
        def forward_backward(self, batch_):
            if (self.epoch, self.batch_idx) == (epoch, batch):
                happens()
            return super().forward_backward(batch_)

    return Disturbed


def kill():
    raise Killed


def learned(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_same_end(first, second):
    for name, tensor in learned(first).items():
        assert torch.equal(tensor, learned(second)[name]), name
    files = [
        sorted(name for name in os.listdir(os.path.join(trainer.output_dir, "learner"))) for trainer in (first, second)
    ]
    assert files[0] == files[1]
    last = [
        load_checkpoint(os.path.join(trainer.output_dir, "learner", "model.pth.tar-3")) for trainer in (first, second)
    ]
    for buffers in zip(*(checkpoint["optimizer"]["state"].values() for checkpoint in last), strict=True):
        assert torch.equal(*(buffer["momentum_buffer"] for buffer in buffers))
    assert last[0]["scheduler"] == last[1]["scheduler"]
    assert last[0]["run"]["best_result"] == last[1]["run"]["best_result"]
    reported = [trainer.epoch_metrics.state_dict() for trainer in (first, second)]
    assert reported[0] == reported[1] and reported[0]["acc"][1] > 0


def files(trainer):
    return sorted(os.listdir(os.path.join(trainer.output_dir, "learner")))


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("settings", [
    {},
    {"DATALOADER__NUM_WORKERS": "1"},
    {"DATALOADER__TRAIN_X__SAMPLER": "RandomClassSampler", "DATALOADER__TRAIN_X__N_INS": "2"},
    {"DATALOADER__TRAIN_X__SAMPLER": "RandomClassSampler", "DATALOADER__TRAIN_X__N_INS": "2",
     "DATALOADER__NUM_WORKERS": "1"},
    {"TEST__FINAL_MODEL": "best_val"},
])  # fmt: skip
def test_a_run_killed_within_an_epoch_goes_on_there_to_the_same_bits(build, linear, tmp_path, settings, batch):
    settings = {"OPTIM__LR": "0.05", "TRAIN__CHECKPOINT_STEPS": "2", **settings}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    with pytest.raises(Killed):
        build(disturbed(linear, 1, batch, kill), OUTPUT_DIR=str(tmp_path / "killed"), **settings).train()
    resumed = build(OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    steps = []
    step = resumed.forward_backward
    resumed.forward_backward = lambda batch: steps.append((resumed.epoch, resumed.batch_idx)) or step(batch)
    resumed.train()
    assert steps[0] == (1, batch // 2 * 2)
    assert_same_end(whole, resumed)


def test_a_loader_of_another_kind_is_gone_on_with_as_well(build, linear, tmp_path):
    class Own(linear):
        """Its loader draws from all three generators as it goes."""

        def build_data_loader(self):
            super().build_data_loader()
            images, draws = self.train_loader_x, (random.random, np.random.rand, lambda: torch.rand(()).item())

            class Loader:
                def __len__(self):
                    return len(images)

                def __iter__(self):
                    return ({**batch, "img": batch["img"] + sum(draw() for draw in draws)} for batch in images)

            self.train_loader_x = Loader()

    settings = {"TRAIN__CHECKPOINT_STEPS": "3"}
    whole = build(Own, OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    with pytest.raises(Killed):
        build(disturbed(Own, 2, 4, kill), OUTPUT_DIR=str(tmp_path / "killed"), **settings).train()
    resumed = build(Own, OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    resumed.train()
    assert_same_end(whole, resumed)


@pytest.mark.parametrize("steps", ["0", "2"])
def test_a_run_without_a_seed_draws_on_where_it_was_killed(build, linear, tmp_path, steps):
    settings = {"TRAIN__CHECKPOINT_STEPS": steps}

    def unseeded(kind, name):  # `build` seeds as train.py does not
        trainer = build(kind, OUTPUT_DIR=str(tmp_path / name), **settings)
        trainer.cfg.defrost()
        trainer.cfg.SEED = -1
        return trainer

    whole = unseeded(None, "whole")
    whole.train()
    with pytest.raises(Killed):
        unseeded(disturbed(linear, 1, 3, kill), "killed").train()
    resumed = unseeded(None, "killed")
    torch.manual_seed(5)
    random.seed(5)
    resumed.train()
    assert_same_end(whole, resumed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_signal_waits_for_the_step_and_its_checkpoint(build, linear, tmp_path, number, workers):
    settings = {"DATALOADER__NUM_WORKERS": workers, "OPTIM__LR": "0.05"}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    stopped = build(
        disturbed(linear, 1, 2, lambda: os.kill(os.getpid(), number)), OUTPUT_DIR=str(tmp_path / "stopped"), **settings
    )
    with handled(), pytest.raises(StopRequest) as stop:
        stopped.train()
    assert stop.value.number == number and isinstance(stop.value, KeyboardInterrupt)
    assert files(stopped) == ["checkpoint", "model.pth.tar-1+0", "model.pth.tar-1+3"]
    resumed = build(OUTPUT_DIR=str(tmp_path / "stopped"), **settings)
    resumed.train()
    assert_same_end(whole, resumed)


def test_a_signal_while_batches_are_awaited_is_obeyed_at_once(build, linear, tmp_path, monkeypatch):
    def slow(image):
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()

    class Slow(linear):
        def before_epoch(self):
            if self.epoch == 1:
                self.train_loader_x.dataset.transform = slow

    monkeypatch.setattr(data_manager, "available_cores", lambda: 1)
    trainer = build(Slow, DATALOADER__NUM_WORKERS="1")
    with handled(), pytest.raises(StopRequest):
        trainer.train()
    assert files(trainer) == ["checkpoint", "model.pth.tar-1+0"]


def test_a_signal_before_a_resumed_run_takes_a_step_leaves_its_checkpoint_as_it_was(
    build, linear, tmp_path, monkeypatch
):
    settings = {"DATALOADER__NUM_WORKERS": "1", "TRAIN__CHECKPOINT_STEPS": "2"}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    with pytest.raises(Killed):
        build(disturbed(linear, 1, 3, kill), OUTPUT_DIR=str(tmp_path / "stopped"), **settings).train()
    begin = epoch_batches._begin

    def begin_and_stop(loader, done):
        torch.rand(3)
        os.kill(os.getpid(), signal.SIGTERM)
        return begin(loader, done)

    with monkeypatch.context() as patched, handled(), pytest.raises(StopRequest):
        patched.setattr(epoch_batches, "_begin", begin_and_stop)
        build(OUTPUT_DIR=str(tmp_path / "stopped"), **settings).train()
    resumed = build(OUTPUT_DIR=str(tmp_path / "stopped"), **settings)
    resumed.train()
    assert_same_end(whole, resumed)


def test_a_second_signal_does_not_wait(build, linear, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the step went on")

    trainer = build(disturbed(linear, 0, 1, twice))
    with handled(), pytest.raises(StopRequest):
        trainer.train()
    assert files(trainer) == ["checkpoint", "model.pth.tar-0+1"]


def test_outside_of_training_a_signal_is_obeyed_at_once(build, linear):
    class Testing(linear):
        def test(self, split=None):
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the test went on")

    trainer = build(Testing)
    before = signal.getsignal(signal.SIGINT)
    with handled(), pytest.raises(StopRequest):
        trainer.train()
    assert signal.getsignal(signal.SIGINT) is before
    assert "model.pth.tar-3" in files(trainer)


def test_a_run_that_was_started_to_ignore_ctrl_c_does(build, linear):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs in the background
    try:
        trainer = build(disturbed(linear, 0, 1, lambda: os.kill(os.getpid(), signal.SIGINT)))
        with handled():
            trainer.train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert trainer.epoch == 2


def flip_a_byte(path):
    """In the tensors, where the pickle stays readable."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 200] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_byte, lambda path: path.write_bytes(path.read_bytes()[:1000])])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(build, linear, tmp_path, capsys, damage):
    settings = {"TRAIN__CHECKPOINT_STEPS": "2"}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    killed = build(disturbed(linear, 1, 4, kill), OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    with pytest.raises(Killed):
        killed.train()
    folder = tmp_path / "killed" / "learner"
    assert files(killed) == ["checkpoint", "model.pth.tar-1+2", "model.pth.tar-1+4"]
    damage(folder / "model.pth.tar-1+4")
    capsys.readouterr()
    resumed = build(disturbed(linear, 2, 0, kill), OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    with pytest.raises(Killed):
        resumed.train()
    printed = capsys.readouterr().out
    assert f"warning: {folder / 'model.pth.tar-1+4'} is damaged" in printed
    assert f"going on from {folder / 'model.pth.tar-1+2'}" in printed
    resumed = build(OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    resumed.train()
    assert_same_end(whole, resumed)


def test_after_a_fallback_the_older_checkpoint_stays_until_there_are_two(build, linear, tmp_path):
    settings = {"TRAIN__CHECKPOINT_STEPS": "2"}
    killed = build(disturbed(linear, 1, 4, kill), **settings)
    with pytest.raises(Killed):
        killed.train()
    flip_a_byte(tmp_path / "output" / "learner" / "model.pth.tar-1+4")
    resumed = build(disturbed(linear, 1, 2, kill), **settings)
    with pytest.raises(Killed):
        resumed.train()
    assert (tmp_path / "output/learner/checkpoint").read_text() == "model.pth.tar-1+2\n"


def test_where_no_checkpoint_is_intact_the_run_says_so_and_leaves_them(build, linear, tmp_path):
    killed = build(disturbed(linear, 2, 1, kill))
    with pytest.raises(Killed):
        killed.train()
    folder = tmp_path / "output" / "learner"
    before = {}
    for name in ("model.pth.tar-1+0", "model.pth.tar-2+0"):
        flip_a_byte(folder / name)
        before[name] = (folder / name).read_bytes()
    with pytest.raises(CheckpointError, match=r"tar-1\+0 is damaged .*: to begin anew, move .*learner away"):
        build().train()
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("content", [b"", b"nothing\n", b"\xff\xfe"])
def test_a_damaged_list_of_checkpoints_is_made_up_for_by_their_names(build, linear, tmp_path, content):
    with pytest.raises(Killed):
        build(disturbed(linear, 1, 4, kill), TRAIN__CHECKPOINT_STEPS="2").train()
    (tmp_path / "output/learner/checkpoint").write_bytes(content)
    resumed = build(TRAIN__CHECKPOINT_STEPS="2")
    assert resumed.resume_model_if_exist(resumed.output_dir) == 1
    assert resumed.start_batch == 4
    for name in files(resumed):
        if name != "checkpoint":
            (tmp_path / "output/learner" / name).unlink()
    with pytest.raises(CheckpointError, match="learner/checkpoint names no file that is there"):
        build().train()


@pytest.mark.parametrize("change", [
    lambda state: state.pop("epoch"),
    lambda state: state.update(epoch="1"),
    lambda state: state.update(epoch=True),
    lambda state: state.update(run=[1]),
    lambda state: state["run"].update(position=3),
    lambda state: state["run"].update(position={"batches": -1}),
    lambda state: state["run"]["position"].pop("beginning"),
    lambda state: state["run"]["position"]["common"].update(torch=torch.zeros(3)),
    lambda state: state["run"]["position"]["common"].update(python=[3, "words", None]),
    lambda state: state["run"]["position"].update(own=[1]),
    lambda state: state["run"].update(settings=5),
    lambda state: state["run"].update(skipped_batches=5),
    lambda state: state["optimizer"].update(state=7),
    lambda state: state["optimizer"].update(param_groups=None),
    lambda state: state.update(scheduler=7),
])  # fmt: skip
def test_a_checkpoint_whose_run_is_none_is_refused_in_one_line(build, linear, tmp_path, change):
    with pytest.raises(Killed):
        build(disturbed(linear, 0, 3, kill), TRAIN__CHECKPOINT_STEPS="2").train()
    path = tmp_path / "output/learner/model.pth.tar-0+2"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"tar-0\+2"):
        build().train()


def test_a_negative_number_of_steps_is_an_error(build):
    with pytest.raises(ConfigError, match="TRAIN.CHECKPOINT_STEPS is -1"):
        build(TRAIN__CHECKPOINT_STEPS="-1").train()


def test_states_of_all_generators_come_back():
    random.gauss(0, 1), np.random.randn()  # each keeps a second number for the next call
    states = random_states()
    drawn = [(random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), torch.rand(3).tolist())]
    set_random_states(states)
    drawn.append((random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), torch.rand(3).tolist()))
    assert drawn[0] == drawn[1]


def diverging(trainer_class, *bad, broken=False):
    """A subclass whose loss is NaN in the (epoch, batch) pairs ``bad``; ``broken``: and so is what it learns."""

    class Diverging(trainer_class):
        def model_backward_and_update(self, loss, names=None):
            if (self.epoch, self.batch_idx) in bad:
                if broken:
                    self.model[2].weight.data[0, 0] = torch.nan
                loss = loss * torch.nan
            super().model_backward_and_update(loss, names)

    return Diverging


def test_a_loss_that_is_not_finite_names_images_step_and_checkpoint(build, linear, data_root, capsys):
    trainer = build(diverging(linear, (1, 2)))
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.train()
    message = str(caught.value)
    assert "in epoch 2, batch 3 (images " in message
    assert f"the last good checkpoint is {trainer.output_dir}/learner/model.pth.tar-1+0" in message
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Images of the batch: "))
    paths = listed.removeprefix("Images of the batch: ").split(", ")
    assert len(paths) == 4 and all(os.path.isfile(path) for path in paths)
    assert ", ".join(paths[:3]) in message
    first = build(diverging(linear, (0, 0)), OUTPUT_DIR=trainer.output_dir + "2")
    with pytest.raises(NonFiniteLossError, match="there is no checkpoint yet"):
        first.train()


def test_batches_without_a_finite_loss_can_be_left_out_and_are_counted(build, linear, tmp_path, capsys):
    bad = [(0, 1), (1, 4), (2, 0)]
    settings = {"TRAIN__NONFINITE_LOSS": "skip", "TRAIN__CHECKPOINT_STEPS": "1"}
    trainer = build(diverging(linear, *bad), OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    trainer.train()
    assert trainer.skipped_batches == {"nonfinite_loss": 3, "float16_overflow": 0}
    assert all(tensor.isfinite().all() for tensor in learned(trainer).values())
    assert capsys.readouterr().out.count("left out, the ") == 3
    assert trainer.sched.last_epoch == 3  # the last batch of an epoch, left out, ends it all the same
    killed = build(disturbed(diverging(linear, *bad), 2, 3, kill), OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    with pytest.raises(Killed):
        killed.train()
    resumed = build(diverging(linear, *bad), OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    resumed.train()
    assert resumed.skipped_batches == trainer.skipped_batches
    assert_same_end(trainer, resumed)


def test_leaving_batches_out_ends_where_what_is_learned_is_not_finite(build, linear):
    trainer = build(diverging(linear, (1, 2), broken=True), TRAIN__NONFINITE_LOSS="skip")
    with pytest.raises(NonFiniteLossError, match="learned tensors are NaN or infinite in epoch 2, batch 3"):
        trainer.train()


class Scaled(TRAINER_REGISTRY.get("Linear")):
    """Steps through a scaler; its gradients overflow in the (epoch, batch) pairs ``overflowing``."""

    overflowing = ()

    def build_model(self):
        super().build_model()
        self.scaler = torch.amp.GradScaler("cpu")

    def model_backward_and_update(self, loss, names=None):
        self.model_zero_grad()
        self.scaler.scale(loss).backward()
        if (self.epoch, self.batch_idx) in self.overflowing:
            self.model[2].weight.grad[0, 0] = torch.inf
        self.scaler.step(self.optim)
        self.scaler.update()


def test_overflows_of_mixed_precision_are_left_out_and_counted(build, capsys):
    trainer = build(type("Few", (Scaled,), {"overflowing": [(0, 1), (1, 0)]}))
    trainer.train()
    assert trainer.skipped_batches == {"nonfinite_loss": 0, "float16_overflow": 2}
    assert trainer.scaler.get_scale() == 2.0**14
    assert "float16 overflowed in 1 of 5 steps" in capsys.readouterr().out


def test_mixed_precision_that_always_overflows_stops(build):
    class Always(Scaled):
        overflowing = [(epoch, batch) for epoch in range(10) for batch in range(5)]

    with pytest.raises(NonFiniteLossError, match="gradients are NaN or infinite, whatever the loss scale, in epoch"):
        build(Always, OPTIM__MAX_EPOCH="10").train()
