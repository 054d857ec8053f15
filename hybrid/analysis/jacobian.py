"""The largest singular value of a layer's Jacobian at given samples: the factor by which it stretches the worst small change.

def layer(images):
    with capture(model, [name], detach=False) as outputs:
        model(images)
        return outputs[name]

norms = jacobian_norm(layer, images)        # of the model in evaluation mode, uncompiled
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from hybrid.analysis.checks import as_tensor
from hybrid.errors import UserError

_CHECK_EVERY = 5  # iterations between two looks at the result: each waits for the device


@dataclass(frozen=True)
class JacobianNorms:
    """The largest singular values of the Jacobians at N samples; all tensors are on the CPU.

    values: (N,) float64, the singular values. converged: (N,) bool. residuals: (N,) float64, ‖JᵀJ u - σ² u‖ / σ² of the
    estimate σ with its vector u; a singular value lies within about half of this, relatively, and the random start makes it
    the largest one with probability 1. iterations: (N,) int64, how many it took to converge.
    """

    values: Tensor
    converged: Tensor
    residuals: Tensor
    iterations: Tensor


def jacobian_norm(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    iterations: int = 50,
    tolerance: float = 1e-2,
    generator: torch.Generator | None = None,
) -> JacobianNorms:
    """Largest singular value of d function / d x at each sample of inputs (N, ...) float32 or float64.

    Args:
        function: (N, ...) -> (N, ...); each output depends on its own sample alone, as in a network in evaluation mode.
        inputs: the samples.
        iterations: at most so many are made; an estimate that has not converged is too small.
        tolerance: a sample has converged when its residual (see `JacobianNorms`) is at most this.
        generator: draws the start vector on the CPU, the same for all samples; None uses seed 0. A sample's result does not
            depend on the others, but for the rounding of batched products.

    The method is the power iteration u ← JᵀJ u whose iterates are all kept, and the best value in their span (Lanczos 1950;
    Golub & Van Loan, "Matrix Computations", 10.1), which needs far fewer products for the same accuracy. It holds
    iterations + 1 copies of the inputs beside the graph of one forward. Jᵀv is computed in reverse mode, and so is Ju, as the
    derivative of v -> Jᵀv. Forward mode (torch.func.jvp) gives NaN where a modulus of the scattering is 0, and is slower
    because it repeats the forward; it is used only for functions that torch cannot differentiate twice.
    Raises UserError for outputs without a gradient, samples that depend on each other, and values that are not finite.
    """
    inputs = as_tensor(inputs, "inputs")
    _check_arguments(inputs, iterations, tolerance)
    generator = generator or torch.Generator().manual_seed(0)
    start = torch.randn(inputs[0].numel(), generator=generator, dtype=torch.float64)
    # Fused attention has no second derivative; its plain form has.
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        product = _gram_product(function, inputs)
        start = (start / start.norm()).to(inputs).expand(len(inputs), -1)
        return _largest(product, start, min(iterations, start.shape[1]), tolerance)


def _gram_product(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The function u (N, D) -> JᵀJ u (N, D), J being each sample's Jacobian at `inputs`. It keeps the graph of one forward."""
    points = inputs.detach().clone().requires_grad_()
    outputs = function(points.clone())  # a copy: functions may work in-place on their input
    _check_outputs(outputs, len(inputs))
    weights = torch.zeros_like(outputs, requires_grad=True)
    (pulled,) = torch.autograd.grad(outputs, points, weights, create_graph=True, allow_unused=True)
    if pulled is None or not pulled.requires_grad:
        raise UserError("the function's outputs do not depend on its inputs by operations that autograd knows")
    _check_independence(outputs, points)

    push = _push_forward(function, points, weights, pulled)

    def product(vectors: Tensor) -> Tensor:
        pushed = push(vectors.view_as(points))
        return torch.autograd.grad(outputs, points, pushed, retain_graph=True)[0].flatten(1)

    return product


def _push_forward(
    function: Callable[[Tensor], Tensor], points: Tensor, weights: Tensor, pulled: Tensor
) -> Callable[[Tensor], Tensor]:
    """The function u -> Ju: the derivative of weights -> pulled = Jᵀ weights, or forward mode without a second derivative."""

    def push(vectors: Tensor) -> Tensor:
        return torch.autograd.grad(pulled, weights, vectors, retain_graph=True)[0]

    def push_in_forward_mode(vectors: Tensor) -> Tensor:
        return torch.func.jvp(lambda x: function(x.clone()), (points.detach(),), (vectors,))[1].detach()

    try:
        push(torch.zeros_like(points))
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
        return push_in_forward_mode  # hardsigmoid, of torchvision's MobileNets, is such a one
    return push


def _largest(product: Callable[[Tensor], Tensor], start: Tensor, steps: int, tolerance: float) -> JacobianNorms:
    """Lanczos's method for each sample: an orthonormal basis of u, JᵀJ u, (JᵀJ)² u, …, in which JᵀJ is tridiagonal."""
    samples, size = start.shape
    basis = start.new_zeros(samples, steps + 1, size)
    basis[:, 0] = start
    diagonal, beside = start.new_zeros(samples, steps), start.new_zeros(samples, steps)
    values, residuals = (
        torch.zeros(samples, dtype=torch.float64),
        torch.full((samples,), torch.inf, dtype=torch.float64),
    )
    used = torch.zeros(samples, dtype=torch.int64)
    for step in range(1, steps + 1):
        latest = basis[:, step - 1]
        image = product(latest)
        diagonal[:, step - 1] = (image * latest).sum(1)
        image = _without(_without(image, basis[:, :step]), basis[:, :step])  # once leaves rounding behind
        length = torch.linalg.vector_norm(image, dim=1)
        beside[:, step - 1] = length
        # A remainder that is only rounding ends a sample's basis: JᵀJ is known whole, as for a network's few logits.
        rounding = 100 * torch.finfo(start.dtype).eps * diagonal[:, :step].amax(1)
        basis[:, step] = image / length.where(length > rounding, torch.inf).unsqueeze(1)
        if step % _CHECK_EVERY == 0 or step == steps:
            value, residual = _estimate(diagonal[:, :step].double().cpu(), beside[:, :step].double().cpu())
            going = residuals > tolerance  # the others keep what they had, so that no sample depends on another
            values, residuals = values.where(~going, value), residuals.where(~going, residual)
            used = used.where(~going, step)
            if not bool((residuals > tolerance).any()):
                break
    return JacobianNorms(values, residuals <= tolerance, residuals, used)


def _estimate(diagonal: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """The largest singular value in the span, and its residual, from the tridiagonal matrix (N, k): both (N,)."""
    finite = torch.isfinite(diagonal).all(1) & torch.isfinite(beside).all(1)
    if not bool(finite.all()):
        raise UserError(f"the derivative is not finite at {int((~finite).sum())} of {len(finite)} samples")
    inner = beside[:, :-1]
    matrix = torch.diag_embed(diagonal) + torch.diag_embed(inner, 1) + torch.diag_embed(inner, -1)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    square = eigenvalues[:, -1].clamp(min=0)
    residual = beside[:, -1] * vectors[:, -1, -1].abs()
    return square.sqrt(), (residual / square).where(square > 0, 0.0)


def _without(vectors: Tensor, basis: Tensor) -> Tensor:
    """Vectors (N, D) minus their projections on the orthonormal (N, k, D)."""
    return torch.baddbmm(vectors.unsqueeze(1), vectors.unsqueeze(1) @ basis.mT, basis, alpha=-1).squeeze(1)


def _check_arguments(inputs: Tensor, iterations: int, tolerance: float) -> None:
    if inputs.ndim < 2 or inputs.numel() == 0 or inputs.dtype not in (torch.float32, torch.float64):
        kind = str(inputs.dtype).removeprefix("torch.")
        raise UserError(f"inputs must be float32 or float64 (N, ...), none empty, got {kind} {tuple(inputs.shape)}")
    if not bool(torch.isfinite(inputs).all()):
        raise UserError("inputs must be finite: they have NaN or infinite values")
    if iterations < 1 or not tolerance > 0:
        raise UserError(f"iterations must be at least 1 and tolerance above 0, got {iterations} and {tolerance}")


def _check_outputs(outputs: Tensor, samples: int) -> None:
    if not outputs.requires_grad:
        raise UserError(
            "the function's outputs have no gradient: they are constant, or computed under no_grad, or detached "
            "(capture needs detach=False)"
        )
    if outputs.ndim < 1 or len(outputs) != samples:
        raise UserError(f"the function must give one output for each of {samples} samples, got {tuple(outputs.shape)}")
    if not bool(torch.isfinite(outputs).all()):
        raise UserError("the function's outputs must be finite: they have NaN or infinite values")


def _check_independence(outputs: Tensor, points: Tensor) -> None:
    """Raise UserError if the first sample's output depends on other inputs: the batch has no Jacobian for each sample then."""
    if len(points) == 1:
        return
    weights = torch.zeros_like(outputs)
    weights[0] = torch.linspace(1, 2, outputs[0].numel(), dtype=outputs.dtype).view_as(outputs[0])
    (gradient,) = torch.autograd.grad(outputs, points, weights, retain_graph=True)
    if bool((gradient[1:].nan_to_num(0.0) != 0).any()):  # NaN is 0 times an infinite derivative: for later to report
        raise UserError(
            "the function's outputs depend on other samples of the batch: put the model into evaluation mode "
            "(batch normalization in training mode mixes them)"
        )
