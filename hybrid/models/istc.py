"""Sparse codes of features by iterated soft thresholding with continuation (ISTC), and a head on them.

Zarka, Thiry, Angles and Mallat, "Deep Network Classification by Scattering and Homotopy Dictionary Learning" (ICLR 2020), and
its released code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from hybrid.models.layers import USUAL_NORM, BatchNorm, average_pool, check_positive, convolution, fully_connected
from hybrid.ranges import Positive, Rate, Side, Width, Widths

_SMALLEST_THRESHOLD = 0.05  # as released


class ISTC(nn.Module):
    """The sparse non-negative code of each pixel in a learned dictionary: (N, features, H, W) -> (N, atoms, H, W).

    The columns of the dictionary D have norm 1. The code a of a pixel x nearly minimises |x - D a|²/2 + λ* (sum of a) over
    a >= 0. It is computed by a_0 = 0 and a_{n+1} = ReLU(a_n + W^T (x - D a_n) - λ_n), where the threshold λ_n falls in equal
    ratios from λ_0 to λ*. λ_0 is the largest entry of W^T x in the latest training batch, of all ranks. Each step has a ReLU
    layer of its own, at which an analysis can look.

    Args:
        features: channels of the input.
        atoms: columns of the dictionary.
        iterations: steps from λ_0 to λ*.
        threshold: λ* at the start. It is learned, and stays 0.05 or more.
        tied: whether W is D. Otherwise W is learned, too, with d^T w = 1 for each pair of columns.
    """

    start: Tensor

    def __init__(
        self, features: int, atoms: int, *, iterations: int = 12, threshold: float = 0.05, tied: bool = True
    ) -> None:
        super().__init__()
        check_positive(features=features, atoms=atoms, iterations=iterations)
        self.dictionary = nn.Parameter(F.normalize(torch.randn(features, atoms), dim=0))
        self.analysis = None if tied else nn.Parameter(self.dictionary.detach().clone())
        self.log_threshold = nn.Parameter(torch.tensor(float(threshold)).log())
        self.register_buffer("start", torch.tensor(0.0))  # λ_0; 0 until a training batch has come
        self.steps = nn.ModuleList(nn.ReLU() for _ in range(iterations))

    @property
    def threshold(self) -> Tensor:
        """λ*, a scalar."""
        return self.log_threshold.exp().clamp_min(_SMALLEST_THRESHOLD)

    def matrices(self) -> tuple[Tensor, Tensor]:
        """D and W, (features, atoms) each."""
        columns = F.normalize(self.dictionary, dim=0)
        if self.analysis is None:
            return columns, columns
        return columns, self.analysis + (1 - (columns * self.analysis).sum(0)) * columns

    def macs(self, output: Tensor) -> int:
        """The multiply-accumulates of all steps for one image, whose code is `output`."""
        return output[0].numel() * len(self.dictionary) * (2 * len(self.steps) - 1)

    def forward(self, features: Tensor) -> Tensor:
        columns, analysis = self.matrices()
        analyse, synthesise = analysis.T[:, :, None, None], columns[:, :, None, None]
        correlation = F.conv2d(features, analyse)
        if self.training and features.numel():
            self.start.copy_(correlation.detach().amax())
            if distributed.is_available() and distributed.is_initialized():
                distributed.all_reduce(self.start, distributed.ReduceOp.MAX)
        last = self.threshold
        ratio = last / torch.maximum(self.start, last)
        code: Tensor | None = None
        for number, relu in enumerate(self.steps, start=1):
            step = correlation if code is None else code + F.conv2d(features - F.conv2d(code, synthesise), analyse)
            code = relu(step - last * ratio ** (number / len(self.steps) - 1))
        assert code is not None
        return code


class SparseCodeHead(nn.Module):
    """A 3x3 projection, `ISTC`, batch norm, the mean, and fully connected layers: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        features: channels of the projection.
        atoms: of the dictionary.
        iterations: of the sparse code.
        threshold: λ* at the start.
        tied: whether the dictionary also gives the correlations.
        pool: the code is averaged onto pool x pool cells.
        hidden: widths of the fully connected layers before the last.
        dropout: rate in [0, 1) after each of them.
        norm: the settings of all batch norm layers.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate = 0.01

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        features: Width = 256,
        atoms: Width = 2048,
        iterations: Width = 12,
        threshold: Positive = 0.05,
        tied: bool = True,
        pool: Side = 1,
        hidden: Widths = (),
        dropout: Rate = 0.0,
        norm: BatchNorm = USUAL_NORM,
    ) -> None:
        super().__init__()
        if dropout and not hidden:
            raise ValueError("dropout has no effect without hidden layers")
        self.projection = convolution(input_shape[0], features)
        self.code = ISTC(features, atoms, iterations=iterations, threshold=threshold, tied=tied)
        self.norm = norm.over_maps(atoms)
        self.pool = average_pool((input_shape[1], input_shape[2]), pool)
        self.classifier = fully_connected((atoms * pool**2, *hidden, num_classes), dropout_rate=dropout)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.pool(self.norm(self.code(self.projection(features)))).flatten(1))
