"""The scattering transform as a step of a scikit-learn pipeline. It needs scikit-learn."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array

from hybrid.scattering.geometry import Boundary, ScatteringError, Settings, check_parameters
from hybrid.scattering.module import Engine, Scattering2D

if TYPE_CHECKING:
    from sklearn.utils import Tags  # scikit-learn has it from 1.6 on; older versions do not ask for tags


class ScatteringTransformer2D(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Images as arrays -> their scattering coefficients as rows, (n, C · P · ⌊H/2^J⌋ · ⌊W/2^J⌋).

        pipeline = make_pipeline(ScatteringTransformer2D(J=2, shape=(8, 8)), LogisticRegression())
        cross_val_score(pipeline, digits.data, digits.target)

    It takes rows of pixels (n, C · H · W) if `shape` is given, or images (n, H, W) or (n, C, H, W), of any real numbers. It
    learns nothing from data, so `transform` works without `fit`, too; channel is outer and path inner in a row.
    After `fit`, `transform` takes images of as many pixels alone.

    Args:
        J: the largest scale is 2^J pixels; 1 ≤ J and 2^J ≤ min(H, W).
        shape: (H, W), with which rows of H · W pixels are grey images and rows of 3 · H · W are colour images; or (C, H, W)
            for rows of C channels. None takes it from the images, which then cannot be flat.
        L: the number of angles over half a turn.
        max_order: 1 or 2.
        pre_pad: the images come already padded, as with boundary="none".
        boundary: how an image goes on beyond its border: "reflect", "periodic" or "none", as in `Scattering2D`.
        engine: who computes, as in `Scattering2D`.
        dtype: the type in which coefficients are computed and returned. Their relative error is 1e-7 in float32; float64 takes
            the torch engine, which is several times slower.

    Raises:
        ScatteringError: at `fit` or `transform`, where parameters or images do not fit. It is a ValueError.
    """

    def __init__(
        self,
        J: int = 2,
        shape: tuple[int, ...] | None = None,
        L: int = 8,
        max_order: Literal[1, 2] = 2,
        *,
        pre_pad: bool = False,
        boundary: Boundary = "reflect",
        engine: Engine = "auto",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.J, self.shape, self.L, self.max_order = J, shape, L, max_order
        self.pre_pad, self.boundary, self.engine, self.dtype = pre_pad, boundary, engine, dtype

    def fit(self, X: Any, y: Any = None) -> ScatteringTransformer2D:
        """Check that the parameters fit the images; nothing is learned."""
        images, scattering = self._prepare(X)
        self.n_features_in_ = math.prod(images.shape[1:])
        self._n_features_out = images.shape[1] * math.prod(scattering.output_shape)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, C · H · W), (n, H, W) or (n, C, H, W) -> (n, C · P · h · w), of the type `dtype`."""
        images, scattering = self._prepare(X)
        pixels = math.prod(images.shape[1:])
        if getattr(self, "n_features_in_", pixels) != pixels:
            raise ScatteringError(f"X has images of {pixels} pixels; fit saw images of {self.n_features_in_}")
        return scattering(images).reshape(len(images), images.shape[1] * math.prod(scattering.output_shape))

    def _prepare(self, X: Any) -> tuple[np.ndarray, Scattering2D]:
        """The images as (n, C, H, W), and the module for them."""
        if self.dtype not in ("float32", "float64"):
            raise ScatteringError(f"dtype must be 'float32' or 'float64', got {self.dtype!r}")
        images = check_array(X, dtype=self.dtype, allow_nd=True, ensure_min_samples=0, input_name="X")
        flat = images.ndim == 2
        if flat and self.shape is None:
            raise ScatteringError(f"X has rows of {images.shape[1]} pixels: give shape=(H, W), or images (n, H, W)")
        shape = tuple(self.shape) if self.shape is not None else images.shape[-2:]
        settings = check_parameters(self.J, shape[-2:], self.L, self.max_order, self.pre_pad, self.boundary)
        height, width = settings.input_shape
        colour = flat and images.shape[1] == 3 * height * width  # as kymatio's transformer takes them
        channels = shape[0] if len(shape) == 3 else images.shape[1] if images.ndim == 4 else 3 if colour else 1
        if flat and images.shape[1] != channels * height * width:
            raise ScatteringError(
                f"X has rows of {images.shape[1]} pixels, which are no images of {channels} x {height} x {width}: "
                "give shape=(H, W) for grey or colour images, or shape=(C, H, W) for other numbers of channels"
            )
        if images.ndim > 4 or (not flat and images.shape[-2:] != (height, width)):
            raise ScatteringError(
                f"X must be (n, pixels), (n, {height}, {width}) or (n, C, {height}, {width}), got {images.shape}"
            )
        if not flat and channels != (images.shape[1] if images.ndim == 4 else 1):
            raise ScatteringError(
                f"X must have images of {channels} channels, as shape={shape} says, got {images.shape}"
            )
        return images.reshape(len(images), channels, height, width), _module(settings, self.engine)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags


@lru_cache(maxsize=8)  # a cross-validation clones its transformer many times
def _module(settings: Settings, engine: Engine) -> Scattering2D:
    chosen = {"boundary": settings.boundary, "engine": engine}
    return Scattering2D(settings.J, settings.shape, settings.L, settings.max_order, **chosen)
