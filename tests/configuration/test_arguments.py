from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from hybrid.configuration.arguments import check_at_least, check_not_empty, help_text, option, parse
from hybrid.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    images: tuple[str, ...] = option("the files", positional=True, default=())
    run: str = option("the folder")
    top: int = option("how many", default=5)
    rate: float | None = option("how fast", default=None)
    kinds: tuple[Literal["a", "b"], ...] = option("which", default=("a",))
    sizes: tuple[str, ...] = option("HEIGHTxWIDTH", default=())
    parts: tuple[Literal["x", "y"], ...] | None = option("of it", default=None)

    def __post_init__(self):
        if self.top < 1:
            raise ValueError(f"top={self.top} is below 1")


def test_values_are_read_as_yaml_and_text_as_it_stands():
    assert parse(Options, ["run=2024", "top=3", "rate=1e-3", "kinds=[a,b]"]) == Options(
        run="2024", top=3, rate=0.001, kinds=("a", "b")
    )
    assert parse(Options, ["run=a=b ${x}", "kinds=a,b", "rate=null"]) == Options(run="a=b ${x}", kinds=("a", "b"))


def test_a_list_of_text_stays_text_whatever_it_looks_like():
    assert parse(Options, ["run=r", "sizes=32"]).sizes == ("32",)
    assert parse(Options, ["run=r", "sizes=[007,1e3,null,32x32,a=b]"]).sizes == ("007", "1e3", "null", "32x32", "a=b")


def test_numbers_that_are_too_small_and_empty_lists_are_refused():
    options = parse(Options, ["run=r", "rate=.nan", "parts=[]"])
    check_at_least(options, 5, "top")
    with pytest.raises(UserError, match="top=5 is not valid: it must be at least 6"):
        check_at_least(options, 6, "top")
    with pytest.raises(UserError, match="rate=nan is not valid"):
        check_at_least(options, 0, "rate")
    with pytest.raises(UserError, match=r"parts=\[\] is not valid: it must name at least one"):
        check_not_empty(options, "kinds", "parts")
    without = parse(Options, ["run=r"])
    check_at_least(without, 0, "rate")
    check_not_empty(without, "parts")


def test_what_is_no_assignment_is_positional(tmp_path):
    file = tmp_path / "top of=x.png"
    file.touch()
    assert parse(Options, ["x.png", "run=r", str(file)]).images == ("x.png", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run is missing: give run=… (the folder)."),
        (["run=r", "tpo=1"], "unknown option: tpo. Did you mean top? Valid: kinds, parts, rate, run, sizes, top."),
        (["run=r", "images=x"], "unknown option: images."),
        (["run=r", "top=many"], "top: 'many' is not a whole number."),
        (["run=r", "top=[1"], "top=[1 cannot be read: it must be a whole number."),
        (["run=r", "top=${nothing}"], "top=${nothing} cannot be read: it must be a whole number."),
        (["run=r", "kinds=c"], "kinds: 'c' is not a or b."),
        (["run=r", "parts=[x,z]"], "parts: 'z' is not x or y."),
        (["run=r", "parts=[x"], "parts=[x cannot be read: it must be a list (each x or y) or null."),
        (["run=r", "sizes=[a"], "sizes=[a cannot be read: it must be a list of texts."),
        (["run=r", "run=s"], "run is given twice."),
        (["run=r", "top=0"], "top=0 is below 1"),
    ],
)
def test_mistakes_name_the_option_and_what_is_valid(arguments, message):
    with pytest.raises(UserError) as error:
        parse(Options, arguments)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_an_option_without_a_value_is_explained_where_nothing_is_positional():
    @dataclass(frozen=True, kw_only=True)
    class Plain:
        top: int = option("how many", default=5)

    with pytest.raises(UserError, match="cannot read the argument --top: write top=value. Valid: top."):
        parse(Plain, ["--top"])


def test_help_shows_every_option_its_default_and_its_choices():
    text = help_text(Options, "Do it.")
    assert text.startswith("Do it.")
    for words in ("run*", "the folder", "top=5", "rate=null", "kinds=[a]", "which (a, b)", "images…=[]"):
        assert words in text
