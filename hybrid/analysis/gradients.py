"""Saliency: the pixels that an output of a network is most sensitive to at an image.

This is the gradient map of Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
classification models and saliency maps" (2013). It is local: it says how the output would change with a small change of a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybrid.analysis.checks import as_tensor
from hybrid.analysis.layers import output_tensor, plain_model
from hybrid.errors import UserError
from hybrid.taps import undisturbed


def saliency(model: nn.Module, images: Tensor, outputs: Tensor | None = None) -> Tensor:
    """The largest absolute derivative over the channels, max_c |∂ output / ∂ x_c|: (N, H, W), non-negative.

    The gradient goes through a scattering transform too, whatever its engine. The model stays as it was: its mode, buffers and
    gradients.

    Args:
        model: images -> (N, K), such as the logits of K classes. For the gradient with respect to the pixels themselves, let
            it begin with the preprocessing (`run.pipeline`).
        images: (N, C, H, W) floating-point, as the model takes them.
        outputs: (N,) integers in 0..K-1, the output of each image, such as its class; None: the largest.

    Raises UserError for images that are not floating-point, and for outputs that the model does not have.

    Example:
        >>> import torch
        >>> from hybrid.analysis import saliency
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
        >>> saliency(model, torch.rand(2, 3, 8, 8), torch.tensor([0, 4])).shape
        torch.Size([2, 8, 8])
    """
    images = as_tensor(images, "images")
    outputs = None if outputs is None else as_tensor(outputs, "outputs")
    if images.ndim != 4 or not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"images must be floating-point (N, C, H, W), as the model takes them, got {kind} {tuple(images.shape)}"
        )
    model, inputs = plain_model(model), images.detach().clone().requires_grad_()
    with undisturbed(model), torch.enable_grad():
        scores = output_tensor(model(inputs))
        chosen = _checked(outputs, scores)
        (gradient,) = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), inputs)
    return gradient.abs().amax(1)


def _checked(outputs: Tensor | None, scores: Tensor) -> Tensor:
    count = scores.shape[1]
    if outputs is None:
        return scores.detach().argmax(1)
    if outputs.shape != scores.shape[:1] or not bool(((outputs >= 0) & (outputs < count)).all()):
        raise UserError(f"outputs must be one integer in 0..{count - 1} for each of the {len(scores)} images")
    return outputs.to(scores.device, torch.int64)
