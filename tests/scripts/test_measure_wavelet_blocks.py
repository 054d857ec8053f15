"""scripts/measure_wavelet_blocks.py measures what happens to the classes in each block, and networks that are drawn."""

import measure_wavelet_blocks as program
import pytest
import torch

import hybrid
from hybrid.errors import UserError


@pytest.fixture(scope="module")
def trained():
    """Waves of two frequencies at random places: their classes show in moduli alone."""
    torch.manual_seed(0)
    labels = torch.arange(200) % 2
    phase, columns = 6.3 * torch.rand(200, 1), torch.arange(16)
    frequency = torch.tensor([1.0, 2.2])[labels]
    images = torch.cos(frequency[:, None] * columns + phase)[:, None, None].expand(-1, 1, 16, 16)
    images = images + 0.3 * torch.randn(200, 1, 16, 16)
    head = {"banks": ["half_octave", "half_octave_subsampled"], "widths": [4, 6], "width": 1}
    model = hybrid.build_model("phase_collapse_real", image_shape=(1, 16, 16), num_classes=2, head=head)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(25):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval(), images, labels


def test_classes_come_apart_at_the_modulus(trained):
    rows = program.fisher_rows(*trained)
    assert [row["block"] for row in rows] == [0, 1]
    assert rows[0]["after"] > 10 * abs(rows[0]["before"])


def test_networks_that_are_drawn_stand_beside_the_trained_one(trained, capsys):
    model, images, labels = trained
    options = program.Options(run="none", aligned=50, seeds=2)
    rows = program.rainbow_rows(model.head, (images, labels), (images, labels), options)
    assert [row["network"] for row in rows] == ["trained", "drawn 0", "drawn 1"]
    assert rows[0]["accuracy"] > 95 and all(row["new_layer"] > 95 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="seeds=0"):
        program.Options(run="none", seeds=0)
