"""Gradient reversal: Ganin & Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015."""

from torch import Tensor, nn
from torch.autograd import Function


class _ReverseGrad(Function):
    @staticmethod
    def forward(ctx, input, grad_scaling):
        ctx.grad_scaling = grad_scaling
        return input.view_as(input)

    @staticmethod
    def backward(ctx, grad_output):
        return -ctx.grad_scaling * grad_output, None


reverse_grad = _ReverseGrad.apply


class ReverseGrad(nn.Module):
    """The identity, whose gradient is multiplied by ``-grad_scaling``."""

    def forward(self, x: Tensor, grad_scaling: float = 1.0) -> Tensor:
        assert grad_scaling >= 0, f"grad_scaling must not be negative, got {grad_scaling}"
        return reverse_grad(x, grad_scaling)
