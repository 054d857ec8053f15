"""Rainbow resampling: how much of a trained network of wavelets is in the covariances of its weights.

Every mixture of channels is drawn anew from a normal distribution with the covariance that the rows of the trained one have,
after its inputs were turned towards those of the trained network. Source: Guth, Ménard, Rochette, Mallat, "A rainbow in deep
network black boxes", and its released code. It is an analysis: the new network is not meant to be trained.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.models.wavelet_layers import Projection, Standardize
from hybrid.models.wavelet_network import WaveletNetwork


@torch.no_grad()
def resampled(network: WaveletNetwork, images: Tensor, generator: torch.Generator) -> WaveletNetwork:
    """A network in evaluation mode with new mixtures; the given one is left as it is.

    images: (N, C, H, W) as the network takes them, on which the alignments and the new running statistics are measured. Some
    hundred do. The linear layer is the trained one, turned as its inputs are.

    Raises UserError for complex mixtures and for sparse coding, which the method does not know.
    """
    if any(block.settings.projection == "complex" or block.settings.concentrate != "none" for block in network.blocks):
        raise UserError(
            "Rainbow resampling is for real mixtures without sparse coding: projection=real concentrate=none"
        )
    old, new = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    maps, new_maps = images, images
    for block, new_block in zip(old.blocks, new.blocks, strict=True):
        parts, new_parts = block._parts(block.wavelets(maps)), new_block._parts(new_block.wavelets(new_maps))
        _measure(new_block.norm, *new_parts)
        turned = alignment(_standardized(block.norm, parts), _standardized(new_block.norm, new_parts))
        new_block.projection.weight.copy_(_drawn(block.projection, generator) @ turned)
        if new_block.settings.normalize == "relu":
            _measure(new_block.normalize[0], new_block.projection(new_block.norm(*new_parts), *new_parts))
        maps, new_maps = block(maps), new_block(new_maps)
    _measure(new.norm, new_maps)
    last, new_last = (network.pool(network.norm(each)) for network, each in ((old, maps), (new, new_maps)))
    turned = alignment(*(each.transpose(0, 1).flatten(1) for each in (last, new_last)))
    weight = old.classifier.weight.unflatten(1, (last.shape[1], -1))
    new.classifier.weight.copy_(torch.einsum("kcp,cd->kdp", weight, turned).flatten(1))
    return new


def alignment(wanted: Tensor, given: Tensor) -> Tensor:
    """The orthogonal matrix that turns given (D, M) towards wanted (D, M): U Vᵀ of the singular values of wanted · givenᵀ."""
    left, _, right = torch.linalg.svd(wanted.double() @ given.double().T)
    return (left @ right).to(wanted)


def _drawn(projection: Projection, generator: torch.Generator) -> Tensor:
    """Rows with the covariance of a projection's own, Wᵀ W / outputs: normal mixtures of the rows."""
    weight = projection.weight
    mixtures = torch.randn(len(weight), len(weight), generator=generator).to(weight)
    return mixtures @ weight / len(weight) ** 0.5


def _measure(norm: nn.Module, *maps: Tensor) -> None:
    """Take the running statistics from these maps alone."""
    momentum, norm.momentum = norm.momentum, 1.0
    norm.train()(*maps)
    norm.eval().momentum = momentum


def _standardized(norm: Standardize, maps: list[Tensor]) -> Tensor:
    """(channels, M): complex channels before real ones, where the parts of a complex channel are columns of one row."""
    mean, scale = norm(*maps)[0]
    joined = torch.cat(maps, 1).permute(1, 2, 3, 0).flatten(1)
    rows = (joined - mean[:, None]) * scale[:, None]
    count = norm.complex_channels
    if not count:
        return rows
    of_complex, of_real = rows[: 2 * count].view(count, -1), rows[2 * count :]
    return torch.cat([of_complex, torch.cat([of_real, torch.zeros_like(of_real)], 1)])
