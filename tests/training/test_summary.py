from __future__ import annotations

from hybrid.configuration.composition import compose
from hybrid.training.summary import hyperparameters


def test_runs_that_differ_in_images_or_head_differ_in_tensorboards_table():
    whole = hyperparameters(compose(["model=scat_wrn", "data=cifar10"]))
    some = hyperparameters(compose(["model=scat_wrn", "data=cifar10", "data.subset.n=100", "model.head.k=2"]))
    assert (whole["data.subset.n"], some["data.subset.n"]) == ("all", "100")
    assert "k=8" in whole["model.head"] and "k=2" in some["model.head"] and "_target_" not in some["model.head"]
    assert whole.keys() == some.keys() == hyperparameters(compose(["model=scat_linear"])).keys()


def test_every_hyperparameter_is_plain_enough_for_a_table():
    assert all(isinstance(value, (str, int, float)) for value in hyperparameters(compose([])).values())
