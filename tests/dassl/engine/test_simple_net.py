"""The image network that a config describes is what a trainer without build_model trains."""

import os

import pytest
import torch

from dassl.engine import TrainerX
from dassl.engine.trainer import SimpleNet, SummaryWriter
from dassl.modeling import BACKBONE_REGISTRY, Backbone
from dassl.modeling.backbone import efficientnet_b0
from dassl.utils import UserError

HEAD = {"MODEL__HEAD__NAME": "mlp", "MODEL__HEAD__HIDDEN_LAYERS": "(6,)"}


@BACKBONE_REGISTRY.register(force=True)
class Colours(Backbone):
    """The mean colour of an image."""

    def __init__(self, pretrained=True, **kwargs):
        super().__init__()
        self._out_features = 3

    def forward(self, x):
        return x.mean((2, 3))


class Images(TrainerX):
    def forward_backward(self, batch):
        images, labels, _ = self.parse_batch_train(batch)
        loss = torch.nn.functional.cross_entropy(self.model(images), labels)
        self.model_backward_and_update(loss)
        return {"loss": loss.item()}


@pytest.mark.parametrize(("settings", "width"), [({}, 3), (HEAD, 6)])
def test_it_trains_and_returns_features(build, settings, width):
    trainer = build(Images, MODEL__BACKBONE__NAME="Colours", OPTIM__MAX_EPOCH="1", **settings)
    before = trainer.model.classifier.weight.clone()
    trainer.train()
    assert not torch.equal(trainer.model.classifier.weight, before)
    assert os.path.isfile(os.path.join(trainer.output_dir, "model", "model.pth.tar-1"))
    scores, features = trainer.model(torch.rand(2, 3, 8, 8), return_feature=True)
    assert scores.shape == (2, 3) and features.shape == (2, width) and trainer.model.fdim == width
    headless = SimpleNet(trainer.cfg, trainer.cfg.MODEL, 0)
    assert headless(torch.rand(2, 3, 8, 8)).shape == (2, width)


def test_a_network_of_torchvision_without_its_classifier():
    model = efficientnet_b0(pretrained=False).eval()
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 1280) == (1, model.out_features)


def test_unknown_networks_are_named(build):
    with pytest.raises(UserError, match='unknown backbone "resnet19" .did you mean "resnet1'):
        build(Images, MODEL__BACKBONE__NAME="resnet19")
    with pytest.raises(UserError, match='unknown head "mpl" .did you mean "mlp"'):
        build(Images, MODEL__BACKBONE__NAME="Colours", **HEAD | {"MODEL__HEAD__NAME": "mpl"})


def test_a_writer_takes_calls_whether_tensorboard_is_there_or_not(tmp_path):
    with SummaryWriter(log_dir=str(tmp_path)) as writer:
        writer.add_scalar("train/loss", 0.5, 1)
        writer.flush()
