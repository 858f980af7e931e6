from torch import Tensor, nn


class SimpleNet(nn.Module):
    """A backbone, a head where MODEL.HEAD describes one, and a linear classifier.

    Args:
        model_cfg: the MODEL node of a config.
        num_classes: 0: no classifier, the output are the features.
        kwargs: options of the backbone and the head.
    """

    def __init__(self, cfg, model_cfg, num_classes: int, **kwargs):
        from dassl.modeling import build_backbone, build_head  # torchvision, which a run with CLIP does not need

        super().__init__()
        backbone, head = model_cfg.BACKBONE, model_cfg.HEAD
        self.backbone = build_backbone(backbone.NAME, verbose=cfg.VERBOSE, pretrained=backbone.PRETRAINED, **kwargs)
        self._fdim = self.backbone.out_features
        self.head = None
        if head.NAME and head.HIDDEN_LAYERS:
            self.head = build_head(
                head.NAME,
                verbose=cfg.VERBOSE,
                in_features=self._fdim,
                hidden_layers=head.HIDDEN_LAYERS,
                activation=head.ACTIVATION,
                bn=head.BN,
                dropout=head.DROPOUT,
                **kwargs,
            )
            self._fdim = self.head.out_features
        self.classifier = nn.Linear(self._fdim, num_classes) if num_classes > 0 else None

    @property
    def fdim(self) -> int:
        """Width of the features."""
        return self._fdim

    def forward(self, x: Tensor, return_feature: bool = False):
        """Scores (B, C) of images, with ``return_feature`` also features (B, fdim)."""
        features = self.backbone(x)
        if self.head is not None:
            features = self.head(features)
        if self.classifier is None:
            return features
        scores = self.classifier(features)
        return (scores, features) if return_feature else scores
