"""The three parts of a model: what each of them takes and gives, and what it may say about itself.

    images ──▶ FrontEnd ──▶ features ──▶ Normalization ──▶ features ──▶ Head ──▶ logits
    (N, C, H, W)            (N, *output_shape)                                   (N, num_classes)

A part is a torch.nn.Module with the `forward` of its protocol. It need not inherit from anything of hybrid, and every
attribute but `output_shape` may be missing. The functions below read these attributes, and they alone know the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from hybrid.errors import UserError, unknown_name
from hybrid.taps import is_fitted, run_blank

Shape = tuple[int, int, int]
_USUAL_RATE, _USUAL_BATCH = 0.1, 128  # of the published networks of 32x32 images
_OF_A_GROUP = ("params", "lr_factor", "weight_decay", "tag")


class Part(Protocol):
    """What each of the three parts may have.

    fixed: whether what the part gives for an image depends on that image alone, in training as in evaluation (of a
        normalization: once it is fitted), so that it may be computed once and kept. False without it.
    """

    fixed: bool

    def parameter_groups(self) -> Iterable[Mapping[str, Any]]:
        """Parameters that the optimizer treats in a way of their own; by default there are none.

        Each group has its parameters under "params", and beside them "lr_factor" (times optimizer.lr; 1 without it), or
        "weight_decay" (in place of optimizer.weight_decay), or both. A "tag" is a name by which `optimizer.rates` finds the
        group in any model, such as "filters".
        """

    def after_step(self) -> None:
        """Called after each update of the weights, which it may change: a constraint, for example; by default nothing is done."""

    def records(self) -> Mapping[str, float]:
        """Numbers about the part that are logged at the end of each epoch; by default there are none."""


class FrontEnd(Part, Protocol):
    """Turns images (N, C, H, W) into maps (N, *output_shape). It is built with `image_shape`.

    output_shape: (channels, height, width) of the maps of one image.
    """

    output_shape: Shape

    def forward(self, images: Tensor) -> Tensor: ...


class Normalization(Part, Protocol):
    """Brings the maps to a common scale, and keeps their shape (N, C, H, W). It is built with `input_shape`.

    fitted: False until `fit` has seen the training set. True without it.
    """

    fitted: bool

    def forward(self, features: Tensor) -> Tensor: ...

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Measure batches of features (N, C, H, W), which are those of the whole training set; optional."""


class Head(Part, Protocol):
    """Turns features (N, C, H, W) into logits (N, num_classes). It is built with `input_shape` and `num_classes`.

    prefers_channels_last: whether it is faster on features in the memory format channels_last. Without it, a head with a
        torch.nn.Conv2d is; other heads flatten the features, which costs nothing in the contiguous format alone.
    learning_rate: the largest rate of SGD with momentum 0.9 that suits it from the first step on, with 128 images in a step
        (optimizer.lr=auto). Without it, 0.1, which suits convolutions with batch norm and a linear layer on averaged maps.
    """

    prefers_channels_last: bool
    learning_rate: float

    def forward(self, features: Tensor) -> Tensor: ...


def output_shape(frontend: nn.Module) -> Shape:
    """(C, H, W) of what a front-end gives. Raises UserError where it does not say it."""
    shape = getattr(frontend, "output_shape", None)
    if shape is None or len(tuple(shape)) != 3:
        raise UserError(f"model.frontend: {type(frontend).__name__} needs an attribute output_shape = (C, H, W)")
    channels, height, width = (int(size) for size in shape)
    return channels, height, width


def trainable_filters(part: nn.Module) -> list[nn.Parameter]:
    """The parameters of a part that training changes; a front-end that is computed and not learned has none."""
    return [parameter for parameter in part.parameters() if parameter.requires_grad]


def scattering_of(frontend: nn.Module | None) -> nn.Module | None:
    """The scattering transform that a front-end says it has (`transform`), whose filters can be drawn; None without one."""
    return getattr(frontend, "transform", None)


def is_fixed(part: nn.Module) -> bool:
    """Whether what a part gives for an image depends on that image alone: the part says so, and nothing in it is trained."""
    return bool(getattr(part, "fixed", False)) and not trainable_filters(part)


def fit(normalization: nn.Module, batches: Iterable[Tensor]) -> None:
    """Fit a normalization on features (N, C, H, W). Raises UserError for one that cannot be fitted."""
    if not hasattr(normalization, "fit"):
        raise UserError(f"{type(normalization).__name__} has no statistics to fit")
    normalization.fit(batches)


def prefers_channels_last(head: nn.Module) -> bool:
    """Whether a head is faster on features in the memory format channels_last."""
    convolves = any(isinstance(module, nn.Conv2d) for module in head.modules())
    return bool(getattr(head, "prefers_channels_last", convolves))


def learning_rate(model: nn.Module, *, images: float = _USUAL_BATCH, curvature: float = 1.0) -> float:
    """The rate of SGD with momentum 0.9 that suits a model: the lowest that a part of it says, and 0.1 where none says one.

    These are rates for 128 images in a step, as published networks have. With fewer `images` (on average) a rate is less in
    proportion (Goyal et al. 2017), because their gradient is noisier; with more it stays, as larger ones need a warm-up.

    curvature: second derivative of the loss by an output, over that of the cross-entropy. The largest stable rate falls with it.
    """
    rates = (getattr(part, "learning_rate", None) for part in model.children())
    largest = min((rate for rate in rates if rate is not None), default=_USUAL_RATE)
    return largest * min(1.0, images / _USUAL_BATCH) / curvature


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The groups that the parts of a model ask for: see `Part.parameter_groups`. Other parameters are in none of them.

    Raises UserError for a group with another key.
    """
    parts = [part for part in model.children() if hasattr(part, "parameter_groups")]
    groups = [dict(group) for part in parts for group in part.parameter_groups()]
    for name in (name for group in groups for name in group if name not in _OF_A_GROUP):
        raise unknown_name(name, _OF_A_GROUP, what="key in parameter_groups of a model's part")
    return [{**group, "params": list(group["params"])} for group in groups]


def tagged(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Tag -> the trainable parameters of the groups with it."""
    found: dict[str, list[nn.Parameter]] = {}
    for group in parameter_groups(model):
        if "tag" in group:
            found.setdefault(group["tag"], []).extend(p for p in group["params"] if p.requires_grad)
    return {tag: parameters for tag, parameters in found.items() if parameters}


def constraints(model: nn.Module) -> list[Callable[[], None]]:
    """What the parts of a model do after each update of the weights (`Part.after_step`)."""
    return [part.after_step for part in model.children() if hasattr(part, "after_step")]


def records(model: nn.Module) -> dict[str, float]:
    """The numbers that the parts of a model have about themselves: "frontend/name" -> value."""
    return {
        f"{name}/{number}": float(value)
        for name, part in model.named_children()
        if hasattr(part, "records")
        for number, value in part.records().items()
    }


def check_part(part: nn.Module, *, path: str, takes: tuple[int, ...], gives: tuple[int, ...], trusted: bool) -> None:
    """Raises UserError, naming the part's place `path`, unless it makes a tensor (N, *gives) of one (N, *takes).

    It is tried on two blank samples, in evaluation mode. A class of hybrid's own is not, if it is `trusted` to have been built
    for these shapes; a part that has yet to be fitted cannot be tried.
    """
    kind = type(part)
    if not isinstance(part, nn.Module):
        raise UserError(f"{path}: a {kind.__name__} is no torch.nn.Module.")
    if (trusted and kind.__module__.split(".")[0] == "hybrid") or not is_fitted(part):
        return
    place = f"{path}: {kind.__module__}.{kind.__name__}"
    try:
        output = run_blank(part, takes, count=2)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{place} does not take {shape_words(('N', *takes))}: {reason}") from error
    if not isinstance(output, Tensor):
        given = "None" if output is None else f"a {type(output).__name__}"
    elif output.shape != (2, *gives):
        given = f"{shape_words(output.shape)} for N = 2"
    else:
        return
    raise UserError(f"{place} gives {given}, and a tensor {shape_words(('N', *gives))} is wanted.")


def shape_words(shape: Iterable[object]) -> str:
    """("N", 3, 32, 32) as "(N, 3, 32, 32)"."""
    return "(" + ", ".join(str(size) for size in shape) + ")"
