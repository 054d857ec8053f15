"""Figures are drawn for real, as a PNG: matplotlib finds much of what is wrong only then."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid.reports.scattering_figures import filter_bank_figure, scattering_figure
from hybrid.scattering import TorchScattering2D


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.array(Image.open(file).convert("RGB"))


def test_a_filter_is_drawn_in_space_and_below_it_in_fourier_space():
    one = torch.ones(8, 12, dtype=torch.complex64)  # a constant spectrum is a point in space
    figure = filter_bank_figure([("first", one), ("second", one), ("third", one)], columns=2)
    drawn(figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["first", "second", "third"]
    assert len(axes.images) == 3 * 2
    space, spectrum = (picture.get_array() for picture in axes.images[:2])
    assert space[4, 6] == pytest.approx(1) and np.abs(space).sum() == pytest.approx(1)
    assert spectrum.shape == (8, 12) and np.allclose(spectrum, 1)


@pytest.mark.parametrize("shape", [(32, 32), (8, 12), (30, 10), (16, 100)])
def test_no_filter_lies_on_another(shape):
    figure = filter_bank_figure([(f"{k}", torch.rand(shape).to(torch.complex64)) for k in range(3)], columns=2)
    drawn(figure)
    (axes,) = figure.axes
    boxes = [each.get_window_extent() for each in (*axes.images, *axes.texts)]
    apart = [
        one.x1 <= two.x0 or two.x1 <= one.x0 or one.y1 <= two.y0 or two.y1 <= one.y0
        for one, two in combinations(boxes, 2)
    ]
    assert all(apart) and all(box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert boxes[1].height / boxes[1].width == pytest.approx(shape[0] / shape[1], rel=1e-6)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_scattering_coefficients_are_arranged_by_scale_and_angle(channels):
    J, L = 2, 4
    scattering = TorchScattering2D(J, (16, 16), L=L)
    image = torch.rand(*channels, 16, 16)
    grey = image.mean(0) if channels else image
    figure = scattering_figure(image, scattering(grey), scattering.paths)
    drawn(figure)
    assert len(figure.axes) == 2 + J * L + L * L
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["image and order 0", "order 1: 2 scales × 4 angles", "order 2, scales 0 → 1: angle × angle"]
    order1 = figure.axes[2 + L].images[0].get_array()  # second row: j=1, theta=0
    assert np.allclose(order1, scattering(grey)[1 + L])


@pytest.mark.parametrize("J", [2, 3])
def test_the_parts_of_a_scattering_figure_leave_little_paper_between_them(J):
    scattering = TorchScattering2D(J, (32, 32), L=8)
    image = torch.rand(32, 32) / 2
    pixels = drawn(scattering_figure(image, scattering(image), scattering.paths))
    maps = pixels[len(pixels) // 8 :, :, :3]  # below the titles
    white = (maps == 255).all(-1)
    assert white.mean() < 0.12
    assert white.all(0).mean() < 0.06, "gaps from top to bottom"


def test_one_scale_has_no_second_order():
    scattering = TorchScattering2D(1, (16, 16), L=2)
    figure = scattering_figure(torch.rand(16, 16), scattering(torch.rand(16, 16)), scattering.paths)
    drawn(figure)
    assert len(figure.axes) == 2 + 2
