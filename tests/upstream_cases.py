"""What upstream Dassl's small parts compute on given numbers: run on upstream's code by a script, on ours by a test.

A case imports what it needs from ``dassl``, whichever that is, and returns tensors.
"""

import random
from zlib import crc32

import torch
from torch import Tensor, nn


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seed_everything(seed: int = 3) -> None:
    random.seed(seed)
    torch.manual_seed(seed)


def with_known_weights(model: nn.Module) -> nn.Module:
    """Weights that depend on their names and shapes alone; biases are 0."""
    for name, tensor in model.state_dict().items():
        if tensor.dim() > 1:
            tensor.copy_(numbers(*tensor.shape, seed=crc32(name.encode())) * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            tensor.zero_()
    return model


def styles(kind: str, mix: str) -> Tensor:
    from dassl.modeling import ops

    module = getattr(ops, kind)(p=0.9, alpha=0.3, mix=mix)
    seed_everything()
    return torch.stack([module(numbers(6, 2, 3, 4)) for _ in range(2)])


def switched_styles(name: str, kind: str) -> list[Tensor]:
    from dassl.modeling import ops

    module = nn.Sequential(getattr(ops, kind)(p=1.0))
    x = numbers(4, 2, 3, 3)
    seed_everything()
    found = []
    module.apply(getattr(ops, f"deactivate_{name}"))
    found.append(module(x))
    with getattr(ops, f"run_with_{name}")(module, mix="crossdomain"):
        found.append(module(x))
    found.append(module(x))
    module.apply(getattr(ops, f"activate_{name}"))
    module.apply(getattr(ops, f"random_{name}"))
    with getattr(ops, f"run_without_{name}")(module):
        found.append(module(x))
    return [*found, module(x)]


def mixup(preserve_order: bool) -> list[Tensor]:
    from dassl.modeling.ops import mixup

    seed_everything()
    labels = torch.eye(3)
    return list(mixup(numbers(3, 2, 2, 2), numbers(3, 2, 2, 2, seed=1), labels, labels.flip(0), 0.5, preserve_order))


def discrepancy(kernel: str, normalize: bool) -> Tensor:
    from dassl.modeling.ops import MaximumMeanDiscrepancy

    return MaximumMeanDiscrepancy(kernel, normalize)(numbers(5, 3), numbers(4, 3, seed=1) + 0.5)


def transport(name: str, metric: str, bp_to_sinkhorn: bool) -> list[Tensor]:
    from dassl.modeling import ops

    x, y = numbers(4, 3).requires_grad_(), numbers(6, 3, seed=1)
    cost = getattr(ops, name)(metric, eps=0.5, max_iter=20, bp_to_sinkhorn=bp_to_sinkhorn)(x, y)
    return [cost, *torch.autograd.grad(cost, x)]


def smoothed(reduction: str) -> Tensor:
    from dassl.modeling.ops import cross_entropy

    return cross_entropy(numbers(4, 3), torch.tensor([0, 2, 1, 1]), 0.1, reduction)


def reversed_gradient() -> Tensor:
    from dassl.modeling.ops import ReverseGrad

    x = numbers(3).requires_grad_()
    return torch.autograd.grad(ReverseGrad()(x, 0.5).square().sum(), x)[0]


def sequence() -> Tensor:
    from dassl.modeling.ops import Sequential2

    swap = nn.Identity()
    swap.forward = lambda a, b: (b, a)
    minus = nn.Identity()
    minus.forward = lambda a, b: a - b
    return Sequential2(swap, minus, nn.ReLU())(numbers(4), numbers(4, seed=1))


def domain_norms() -> list[Tensor]:
    from dassl.modeling.ops import DSBN1d, DSBN2d

    flat, maps = DSBN1d(3, 2), DSBN2d(3, 2)
    flat(numbers(5, 3))
    flat.select_bn(1)
    flat(numbers(5, 3, seed=1))
    return [maps(numbers(2, 3, 2, 2)), *(value.float() for _, value in sorted(flat.state_dict().items()))]


def semi_supervised() -> list[Tensor]:
    from dassl.modeling.ops import utils

    seed_everything()
    data, label = numbers(4, 2), torch.arange(4)
    model, average = nn.Linear(2, 2), nn.Linear(2, 2)
    utils.ema_model_update(model, average, 0.75)
    ramps = [ramp(step, 4) for ramp in (utils.sigmoid_rampup, utils.linear_rampup) for step in (-1, 0, 1, 4, 9)]
    return [
        utils.sharpen_prob(data.softmax(1), 3),
        *utils.reverse_index(data, label),
        *utils.shuffle_index(data, label),
        utils.create_onehot(label, 5),
        torch.tensor(ramps),
        average.weight.detach(),
    ]


def steps_of(name: str, steps: int = 9, **options) -> list[Tensor]:
    """A weight after each of some steps on a quadratic bowl."""
    import dassl.optim.radam

    weight = nn.Parameter(numbers(3))
    optimizer = getattr(dassl.optim.radam, name)([weight], lr=0.1, weight_decay=0.2, **options)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
        found.append(weight.detach().clone())
    return found


def rates() -> Tensor:
    from dassl.utils.torchtools import adjust_learning_rate

    optimizer = torch.optim.SGD([nn.Parameter(numbers(1))], lr=1.0)
    found = []
    for options in ({"stepsize": 2}, {"linear_decay": True, "final_lr": 0.1, "max_epoch": 4}):
        for epoch in range(4):
            adjust_learning_rate(optimizer, 0.5, epoch, **options)
            found.append(optimizer.param_groups[0]["lr"])
    return torch.tensor(found)


def norms_in_eval_mode() -> Tensor:
    from dassl.utils.torchtools import set_bn_to_eval

    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.BatchNorm2d(2))
    model.apply(set_bn_to_eval)
    return torch.tensor([module.training for module in model])


def head(**options) -> Tensor:
    from dassl.modeling import build_head

    model = build_head("mlp", verbose=False, in_features=4, hidden_layers=[5, 3], **options)
    seed_everything()
    return with_known_weights(model)(numbers(6, 4))


def backbone(name: str, size: int) -> list[Tensor]:
    from dassl.modeling import build_backbone

    model = with_known_weights(build_backbone(name, verbose=False, pretrained=False)).eval()
    with torch.no_grad():
        features = model(numbers(2, 3, size, size))
    assert features.shape[1] == model.out_features
    return [torch.tensor(features.shape), features[:, :10], features.norm(dim=1)]


CASES = {
    **{f"{kind} {mix}": (styles, kind, mix) for kind in ("MixStyle", "EFDMix") for mix in ("random", "crossdomain")},
    "MixStyle switched": (switched_styles, "mixstyle", "MixStyle"),
    "EFDMix switched": (switched_styles, "efdmix", "EFDMix"),
    "mixup": (mixup, False),
    "mixup in order": (mixup, True),
    **{f"MMD {kernel}": (discrepancy, kernel, kernel == "poly") for kernel in ("linear", "poly", "rbf")},
    "Sinkhorn divergence": (transport, "SinkhornDivergence", "cosine", False),
    "Sinkhorn divergence, gradients through it": (transport, "SinkhornDivergence", "fast_euclidean", True),
    "minibatch energy distance": (transport, "MinibatchEnergyDistance", "cosine", False),
    **{f"cross-entropy {reduction}": (smoothed, reduction) for reduction in ("mean", "sum", "none")},
    "ReverseGrad": (reversed_gradient,),
    "Sequential2": (sequence,),
    "DSBN": (domain_norms,),
    "semi-supervised": (semi_supervised,),
    "RAdam": (steps_of, "RAdam"),
    "RAdam that waits": (lambda: steps_of("RAdam", degenerated_to_sgd=False),),
    "PlainRAdam": (steps_of, "PlainRAdam"),
    "AdamW with warm-up": (lambda: steps_of("AdamW", warmup=4),),
    "adjust_learning_rate": (rates,),
    "set_bn_to_eval": (norms_in_eval_mode,),
    "mlp": (head,),
    "mlp with dropout": (lambda: head(activation="leaky_relu", bn=False, dropout=0.3),),
    "resnet18": (backbone, "resnet18", 64),
    "resnet50_ms_l12": (backbone, "resnet50_ms_l12", 32),
    "alexnet": (backbone, "alexnet", 64),
}


def run(case: str) -> list[list[float]]:
    """The tensors of a case, each as a flat list."""
    function, *arguments = CASES[case]
    found = function(*arguments)
    return [tensor.detach().double().flatten().tolist() for tensor in (found if isinstance(found, list) else [found])]
