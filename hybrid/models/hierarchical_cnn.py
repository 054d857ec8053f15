"""The hierarchical attribute network: its channels lie on a grid of attributes, along which it is convolutional, too.

Jacobsen, Oyallon, Mallat and Smeulders, "Multiscale Hierarchical Convolutional Networks" (2017), in the form of the released
code. A convolution along attributes is computed as an ordinary one: its few weights are gathered into a large filter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrid.models.layers import BatchNorm, after_stride, check_positive
from hybrid.ranges import Width

Attributes = tuple[int, int]
PUBLISHED_NORM = BatchNorm(momentum=0.01, eps=1e-3)
_SPACE, _ALONG = 3, (7, 11)  # sides of the filters, in space and along the two attributes
_STRIDES = (1, 2, 1, 1, 1, 2, 1, 1, 1)  # in space, of the layers along two attributes
_INITIAL_STD = 0.05


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """The zeros before and after a line, so that a convolution gives size / stride values, rounded up, as in TensorFlow."""
    missing = max((after_stride(size, stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


class AttributeConv2d(nn.Conv2d):
    """A convolution in space and along two attributes: (N, A B inputs, H, W) -> (N, A' B' filters, H / stride, W / stride).

    The channels lie on a grid of A x B positions, `inputs` at each. A' and B' are A / 2 and B / 2, rounded up; an attribute of
    one position keeps it. The borders have zeros as in TensorFlow. The weight (filters, inputs, k, k, 7, 11) does not depend on
    the position. It is gathered into a filter (A' B' filters, A B inputs, k, k) in each pass.
    """

    taken: Tensor
    inside: Tensor

    def __init__(self, axes: Attributes, inputs: int, filters: int, *, kernel: int = _SPACE, stride: int = 1) -> None:
        steps = tuple(1 if length == 1 else 2 for length in axes)
        sides = tuple(1 if length == 1 else side for length, side in zip(axes, _ALONG, strict=True))
        self.axes_in = axes
        self.axes = (after_stride(axes[0], steps[0]), after_stride(axes[1], steps[1]))
        channels = (axes[0] * axes[1] * inputs, self.axes[0] * self.axes[1] * filters)
        super().__init__(*channels, kernel, stride=stride, bias=False)
        self.weight = nn.Parameter(torch.empty(filters, inputs, kernel, kernel, *sides))
        nn.init.normal_(self.weight, std=_INITIAL_STD)
        along = [_taps(*each) for each in zip(axes, sides, steps, strict=True)]
        (a, a_inside), (b, b_inside) = along
        taken = a[:, None, :, None] * sides[1] + b[None, :, None, :]  # (A', B', A, B): places in a flat 7 x 11
        inside = a_inside[:, None, :, None] & b_inside[None, :, None, :]
        self.register_buffer("taken", taken, persistent=False)
        self.register_buffer("inside", inside, persistent=False)

    def whole_filter(self) -> Tensor:
        """The filter of the ordinary convolution: (A' B' filters, A B inputs, k, k)."""
        spread = self.weight.flatten(-2)[..., self.taken] * self.inside
        return spread.permute(4, 5, 0, 6, 7, 1, 2, 3).reshape(self.out_channels, self.in_channels, *self.kernel_size)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(_padded(input, self.kernel_size[0], self.stride[0]), self.whole_filter(), stride=self.stride)


class SharedConv2d(nn.Conv2d):
    """A 3x3 convolution of each of `positions` maps with the same filters.

    (N, positions, H, W) -> (N, positions filters, H / stride, W / stride), rounded up.
    """

    def __init__(self, positions: int, filters: int, *, stride: int = 1) -> None:
        super().__init__(positions, positions * filters, _SPACE, stride=stride, groups=positions, bias=False)
        self.weight = nn.Parameter(torch.empty(filters, 1, _SPACE, _SPACE))
        nn.init.normal_(self.weight, std=_INITIAL_STD)

    def forward(self, input: Tensor) -> Tensor:
        filters = self.weight.repeat(self.groups, 1, 1, 1)
        padded = _padded(input, _SPACE, self.stride[0])
        return F.conv2d(padded, filters, stride=self.stride, groups=self.groups)


class NormPerFilter(nn.Module):
    """Batch norm with one mean and scale for each filter, over images, space and the positions of the attributes."""

    def __init__(self, filters: int, norm: BatchNorm) -> None:
        super().__init__()
        self.filters, self.norm = filters, norm.over_maps(filters)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.unflatten(1, (-1, self.filters)).flatten(0, 1)).view(len(x), -1, *x.shape[-2:])


class MeanOverFirstAttribute(nn.Module):
    """The mean over the older attribute: (N, A B filters, H, W) -> (N, B filters, H, W)."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.positions = positions

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.positions, -1)).mean(1)


class HierarchicalCNN(nn.Module):
    """Eleven convolutions in space and along attributes, the mean, and a linear layer: (N, C, H, W) -> (N, num_classes).

    The filters of a layer are an ordered attribute of its output. The next two layers are convolutions along it; then its
    mean is taken. Each convolution has batch norm and an ELU.

    Args:
        input_shape: (C, H, W) of the images, 4x4 or more.
        num_classes: the number of logits.
        filters: of each layer, which is the length of a new attribute. Two halvings of it follow: 4 or more.
        factorised: whether the layers along two attributes are a 3x3 convolution in space to `inner` filters, and then one
            along the attributes, as released; otherwise each is a single convolution in four dimensions.
        inner: filters between the two, with factorised=true alone.
        norm: the settings of all batch norm layers.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        filters: Width = 16,
        factorised: bool = False,
        inner: Width = 32,
        norm: BatchNorm = PUBLISHED_NORM,
    ) -> None:
        super().__init__()
        check_positive(inner=inner)
        if filters < 4:
            raise ValueError(f"filters is {filters}; attributes are halved twice: 4 or more")
        if inner != 32 and not factorised:
            raise ValueError("inner has no effect with factorised=false")
        if min(input_shape[1:]) < 4:
            raise ValueError(f"images of 4x4 or more, not {input_shape[1]}x{input_shape[2]}")
        self.norm, self.filters, self.inner, self.factorised = norm, filters, inner, factorised
        first = AttributeConv2d((1, 1), input_shape[0], filters)
        second = AttributeConv2d((1, filters), 1, filters)
        layers = [self._with_norm(first), self._with_norm(second)]
        axes = (second.axes[1], filters)
        for stride in _STRIDES:
            layer, axes = self._along_two(axes, stride)
            layers.append(layer)
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(filters, num_classes)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor) -> Tensor:
        pooled = self.pool(self.layers(features)).flatten(1)
        return self.classifier(pooled.unflatten(1, (-1, self.filters)).mean(1))

    def _with_norm(self, convolution: nn.Module, filters: int | None = None) -> nn.Sequential:
        return nn.Sequential(convolution, NormPerFilter(filters or self.filters, self.norm), nn.ELU())

    def _along_two(self, axes: Attributes, stride: int) -> tuple[nn.Module, Attributes]:
        if self.factorised:
            along = AttributeConv2d(axes, self.inner, self.filters, kernel=1)
            space = SharedConv2d(axes[0] * axes[1], self.inner, stride=stride)
            layer = nn.Sequential(self._with_norm(space, self.inner), self._with_norm(along))
        else:
            along = AttributeConv2d(axes, 1, self.filters, stride=stride)
            layer = self._with_norm(along)
        layer.append(MeanOverFirstAttribute(along.axes[0]))
        return layer, (along.axes[1], self.filters)


def _taps(length: int, kernel: int, stride: int) -> tuple[Tensor, Tensor]:
    """(outputs, length): the tap of the filter that each output has on each input, and whether there is one."""
    outputs = torch.arange(after_stride(length, stride))[:, None]
    tap = torch.arange(length) - stride * outputs + same_padding(length, kernel, stride)[0]
    return tap.clamp(0, kernel - 1), (tap >= 0) & (tap < kernel)


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    rows, columns = (same_padding(side, kernel, stride) for side in x.shape[-2:])
    return F.pad(x, (*columns, *rows))
