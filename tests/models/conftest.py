"""Models from their configs, as a command line would compose them."""

from __future__ import annotations

import pytest

from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.models import HybridModel

COLOUR_32, GREY_28, COLOUR_224 = (3, 32, 32), (1, 28, 28), (3, 224, 224)


@pytest.fixture(scope="session")
def make():
    """make("scat_wrn", "model.head.k=2", shape=(3, 32, 32), classes=10) -> HybridModel"""

    def make(name: str, *overrides: str, shape=COLOUR_32, classes: int = 10) -> HybridModel:
        return model_from(compose([f"model={name}", *overrides]).model, image_shape=shape, num_classes=classes)

    return make
