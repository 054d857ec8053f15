from __future__ import annotations

from typing import Literal

import pytest

from hybrid.configuration import build_record, instantiate
from hybrid.configuration.values import convert, expectation
from hybrid.errors import UserError


class Part:
    def __init__(
        self, size: int, kind: Literal["a", "b"] = "a", *, scale: float | None = None, shape: tuple[int, ...] = ()
    ):
        if size > 9:
            raise ValueError(f"size={size} does not fit; at most 9")
        self.size, self.kind, self.scale, self.shape = size, kind, scale, shape


def make(**values):
    return build_record(Part, values, path="model.part")


def test_values_arrive_converted():
    part = make(size=3, scale=2, shape=[1, 2])
    assert (part.size, part.scale, part.shape) == (3, 2.0, (1, 2)) and isinstance(part.scale, float)


def test_target_is_imported_and_called():
    assert str(instantiate({"_target_": "fractions.Fraction", "numerator": 3}, path="x", denominator=6)) == "1/2"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"size": 3, "knid": "a"},
            "unknown key in model.part: knid. Did you mean kind? Valid: kind, scale, shape, size.",
        ),
        ({"size": "three"}, "model.part.size: 'three' is not a whole number."),
        ({"size": True}, "model.part.size: True is not a whole number."),
        ({"size": 3, "kind": "c"}, "model.part.kind: 'c' is not a or b."),
        ({"size": 3, "scale": "x"}, "model.part.scale: 'x' is not a number or null."),
        ({"size": 3, "shape": 4}, "model.part.shape: 4 is not a list of whole numbers."),
        ({}, "model.part.size is missing."),
        ({"size": 10}, "model.part: size=10 does not fit; at most 9"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_valid(values, message):
    with pytest.raises(UserError) as error:
        make(**values)
    assert str(error.value) == message


@pytest.mark.parametrize("target", ["nowhere.Thing", "math.nothing", "math.pi", "???", None])
def test_a_class_path_that_is_none_is_a_user_error(target):
    with pytest.raises(UserError, match="_target_"):
        instantiate({"_target_": target}, path="model.head")


def test_runtime_arguments_cannot_be_set_in_the_configuration():
    with pytest.raises(UserError, match="unknown key in model.part: size"):
        build_record(Part, {"size": 3}, path="model.part", size=4)


def test_expectations_read_as_words():
    assert expectation(int | None) == "a whole number or null"
    assert expectation(tuple[float, float]) == "a list [a number, a number]"
    assert expectation(list[Literal["a", "b"]] | None) == "a list (each a or b) or null"
    assert expectation(list[int]) == "a list of whole numbers"
    assert convert([1, 2], tuple[float, float]) == (1.0, 2.0)
    with pytest.raises(ValueError, match="is not a list"):
        convert([1], tuple[float, float])
