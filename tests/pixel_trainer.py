"""A trainer as upstream's users write one, for tests that register it under a name of their own."""

import torch

from dassl.engine import TrainerX


class PixelTrainer(TrainerX):
    """Steps of a linear layer on the pixels; `build_model` makes and registers ``self.model``."""

    def forward_backward(self, batch):
        images, labels, _ = self.parse_batch_train(batch)
        loss = torch.nn.functional.cross_entropy(self.model_inference(images), labels)
        self.model_backward_and_update(loss)
        return {"loss": loss.item()}

    def model_inference(self, images):
        return self.model(images.flatten(1))
