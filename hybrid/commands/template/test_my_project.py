"""python -m pytest"""

import torch
from my_data import MyData
from my_head import MyHead

import hybrid


def test_the_data_have_images_of_every_class() -> None:
    """The shape and the type are those that a source must give."""
    images, labels = MyData(count=10, size=8).read("train")
    assert images.shape == (10, 1, 8, 8) and images.dtype == torch.uint8
    assert labels.unique().tolist() == [0, 1]


def test_the_head_learns_from_the_data() -> None:
    """The head is built by its name, and the loss falls."""
    torch.manual_seed(0)
    data = hybrid.load_data("my_data", count=64)
    model = hybrid.build_model(
        "scat_linear", image_shape=data.image_shape, num_classes=data.num_classes, head="my_head"
    )
    assert isinstance(model.head, MyHead)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        for images, labels in data.train:
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
