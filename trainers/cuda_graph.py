"""The forward and backward pass of a training step as a CUDA graph: its kernels are recorded once, then started as one.

A step with few images is bound by the host, which needs longer to start a thousand kernels than a GPU to run them.

    first batch:  three passes as usual, which fill all caches, then one that is recorded
    each batch:   copy images and labels to where the recorded kernels read them -> replay -> gradients
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UP = 3  # passes before the recorded one, as PyTorch's documentation of CUDA graphs asks for


class CaptureError(Exception):
    """A pass that cannot be recorded; the message says why."""


class CapturedStep:
    """Replays ``compute``; inputs of other shapes than those of the first call are computed as usual.

    Args:
        compute: (inputs on the GPU) -> tensors by name; leaves gradients in ``parameters``. What else it reads must
            stay where it is.
        parameters: those that are learned.
    """

    def __init__(self, compute: Callable[..., dict[str, Tensor]], parameters: Iterable[Tensor]):
        self._compute = compute
        self._parameters = list(parameters)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """As ``compute``.

        Raises:
            CaptureError: the pass cannot be recorded.
        """
        if self._graph is None:
            self._capture(inputs)
        if any(given.shape != own.shape for given, own in zip(inputs, self._inputs, strict=True)):
            return self._compute(*inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return {name: tensor.clone() for name, tensor in self._outputs.items()}  # the next replay writes over them

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        generator = torch.cuda.default_generators[inputs[0].device.index or 0]
        drawn, stream = generator.get_offset(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._compute(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        if generator.get_offset() != drawn:
            generator.set_offset(drawn)  # as if these passes had not been
            raise CaptureError("it draws random numbers, as dropout does")
        graph = torch.cuda.CUDAGraph()
        try:
            # The thread in which the loader pins memory may go on meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._outputs = self._compute(*self._inputs)
        except RuntimeError as error:
            raise CaptureError((str(error).splitlines() or [type(error).__name__])[0]) from error
        self._gradients = [parameter.grad for parameter in self._parameters]
        self._graph = graph
