"""Published figures are in one file, and figures from memory stay out of README."""

from __future__ import annotations

import re

import pytest
from published.figures_list import Figure, read_figures, with_figures
from published.files import Places

from hybrid.errors import UserError

# Figures that were measured here and happen to equal a published one: the place's words around the figure, and why.
MEASURED = {
    ("README.md", "two cores, 99.2 % of the test images"): "the first run of digits, seed 0",
    ("docs/guide/scattering.md", "| 56.5 / 84.3 | 2.2 / 2.4 |"): "milliseconds of a transform",
    ("docs/lab/measurements.md", "| `scat_sle` | 2.60, 2.74, 0.069 | 98.8 % |"): "training accuracy of a short run",
    ("docs/lab/measurements.md", "| 68.0 | 76.8 | 76.2 |"): "a measure of a layer",
    ("docs/lab/measurements.md", "| 1.799 / 1.729 | 98.7 % |"): "a measure of a layer",
}
SOURCE = {"source": "somebody", "where": "page 1", "images": "CIFAR-10", "metric": "top-1"}


@pytest.fixture(scope="module")
def figures(root):
    return read_figures(Places(root).rows.with_name("figures.yaml"))


def numbers(figures) -> re.Pattern:
    """A pattern of the values with a fraction: whole numbers stand for other things, too."""
    values = {figure.value for figure in figures if "." in figure.value}
    return re.compile(rf"(?<![\d.,])(?:{'|'.join(map(re.escape, sorted(values)))})(?!\d|\.\d)")


def without_measured(path: str, text: str) -> str:
    """The text of a file without the words of MEASURED that belong to it."""
    for place, words in MEASURED:
        text = text.replace(words, "") if place == path else text
    return text


def test_no_other_place_holds_a_published_figure(root, figures):
    pattern = numbers(figures.values())
    table = re.compile(r"<!-- main table.*<!-- end of the main table -->", re.DOTALL)
    pages = [path for path in (root / "docs").rglob("*.md") if path != Places(root).page]
    places = [
        *(root / "configs").rglob("*.yaml"),
        *pages,
        *(root / "docs/tutorials").glob("*.py"),
        *Places(root).protocols.glob("*.yaml"),
        Places(root).rows,
        root / "README.md",
    ]
    texts = {str(path.relative_to(root)): table.sub("", path.read_text()) for path in places}
    found = {
        f"{path}: {number}" for path, text in texts.items() for number in pattern.findall(without_measured(path, text))
    }
    assert not found, "write {name} of docs/results/figures.yaml, or leave it to the results page"


@pytest.mark.parametrize(("path", "words"), MEASURED)
def test_each_exception_is_one_place_with_one_figure_that_is_published_too(root, figures, path, words):
    assert (root / path).read_text().count(words) == 1
    assert len(numbers(figures.values()).findall(words)) == 1, "no longer needed: take it out of MEASURED"


def test_a_published_figure_elsewhere_in_the_same_file_is_still_found(figures):
    for path, words in MEASURED:
        (number,) = numbers(figures.values()).findall(words)
        text = without_measured(path, f"{words} and {number} % is published")
        assert numbers(figures.values()).findall(text) == [number]
        assert without_measured("another.md", words) == words


def test_no_figure_from_memory_is_in_the_readme(root, figures):
    read = {figure.value for figure in figures.values() if figure.read == "opened"}
    memory = [figure for figure in figures.values() if figure.read == "memory" and figure.value not in read]
    assert memory and not numbers(memory).findall((root / "README.md").read_text())


def test_every_figure_says_what_it_is(figures):
    assert all(figure.source and figure.where and figure.images and figure.metric for figure in figures.values())
    assert figures["psn_linear_100"].text == "36.01 ± 0.55 (s.e.)" and figures["iccv_wrn_all"].text == "95.7"


def test_a_text_takes_them_by_name():
    known = {"one": Figure(value="12.5", spread="0.5", of="standard deviation", read="opened", **SOURCE)}
    assert with_figures("{one} and {one_value}", known) == "12.5 ± 0.5 and 12.5"
    with pytest.raises(UserError, match="unknown published figure: two"):
        with_figures("{two}", known)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"read": "heard"}, "unknown read"), ({"read": "opened", "spread": "0.5"}, "a number after ± needs `of`")],
)
def test_a_figure_that_says_too_little_is_refused(fields, words):
    with pytest.raises(UserError, match=words):
        Figure(value="12.5", **fields, **SOURCE)
