"""Pictures of single images: any number of channels, any shape, captions that do not overlap."""

from __future__ import annotations

import pytest
import torch

from hybrid.errors import UserError
from hybrid.reports.image_figures import confusion_sheet, contact_sheet, map_figure, saliency_figure


def shown(figure) -> list:
    figure.canvas.draw()
    (axes,) = figure.axes
    return list(axes.images)


def words_of(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 6, 12), (3, 20, 10), (13, 8, 8)])
def test_images_of_any_shape_keep_their_proportions(shape):
    images = torch.rand(5, *shape)
    figure = contact_sheet(images, [f"cat {k} %\nnot dog" for k in range(5)], columns=4)
    pictures = shown(figure)
    assert len(pictures) == 5 and pictures[0].get_array().shape == (*shape[1:], 3)
    box = pictures[0].get_window_extent()
    assert box.height / box.width == pytest.approx(shape[1] / shape[2], rel=1e-3)
    texts = [text.get_window_extent() for text in figure.axes[0].texts]
    assert texts[0].y1 <= box.y0 and texts[0].y0 > pictures[4].get_window_extent().y1 and texts[4].y0 >= -1
    assert all(one.x1 < other.x0 for one, other in zip(texts[:4], texts[1:4], strict=False))


def test_the_first_three_bands_are_shown_and_one_is_grey():
    bands = torch.rand(1, 13, 4, 4)
    assert torch.equal(
        torch.as_tensor(shown(contact_sheet(bands, ["a"]))[0].get_array()), bands[0, :3].permute(1, 2, 0)
    )
    grey = torch.as_tensor(shown(contact_sheet(bands[:, :2], ["a"]))[0].get_array())
    assert torch.equal(grey, bands[0, :1].expand(3, -1, -1).permute(1, 2, 0))


def test_pairs_have_a_row_each_with_their_name():
    few, many = torch.rand(1, 1, 8, 8), torch.rand(3, 1, 8, 8)
    figure = confusion_sheet(
        [("cat taken for dog", many, ["1", "2", "3"]), ("dog taken for cat", few, ["4"])], columns=4
    )
    assert len(shown(figure)) == 4
    assert words_of(figure) == ["cat taken for dog", "1", "2", "3", "dog taken for cat", "4"]
    first, second = (figure.axes[0].texts[k].get_window_extent() for k in (0, 4))
    assert first.y0 > shown(figure)[0].get_window_extent().y1 and second.y0 > shown(figure)[3].get_window_extent().y1


def test_saliency_stands_beside_its_image():
    images, maps = torch.rand(3, 3, 8, 8), torch.rand(3, 8, 8)
    figure = saliency_figure(images, ["a", "b", "c"], [("of the prediction", maps), ("of the true class", 2 * maps)])
    pictures = shown(figure)
    assert len(pictures) == 9 and torch.equal(torch.as_tensor(pictures[1].get_array()), maps[0])
    assert pictures[1].get_clim()[0] == 0 and shown(saliency_figure(images, ["a"] * 3, [("zero", 0 * maps)]))


def test_maps_are_those_that_vary_most_on_one_scale():
    maps = torch.stack([torch.full((4, 4), 9.0), torch.eye(4), 3 * torch.eye(4)])
    figure = map_figure(torch.rand(1, 8, 8), [("head.relu1", maps), ("head.relu2", maps)], heading="cat")
    pictures = shown(figure)
    assert torch.equal(torch.as_tensor(pictures[1].get_array()), maps[2])
    assert pictures[1].get_clim() == pictures[3].get_clim()
    assert words_of(figure) == ["cat", "relu1\n3×4×4", "relu2\n3×4×4"]


def test_nothing_to_draw_is_one_line():
    with pytest.raises(UserError, match="a caption each"):
        contact_sheet(torch.rand(2, 1, 4, 4), ["one"])
    with pytest.raises(UserError, match="no layer"):
        map_figure(torch.rand(1, 4, 4), [])
    with pytest.raises(UserError, match="no pair"):
        confusion_sheet([])
