"""Words of other people, harmless where they are shown."""

from __future__ import annotations

import csv
import io

import pytest

from hybrid.escaping import for_latex, for_markdown, for_spreadsheet, for_terminal


def test_a_terminal_gets_no_control_characters_and_every_other_letter():
    assert for_terminal("\x1b[31mred\r\nBüro 图\u202e") == "\\x1b[31mred\\r\\nBüro 图\\u202e"


def test_markdown_shows_the_letters_that_it_would_read_as_marks():
    assert for_markdown("a|b <script> *x* `y` [z](u) _w_ snake_case") == (
        "a\\|b \\<script> \\*x\\* \\`y\\` \\[z\\](u) \\_w\\_ snake_case"
    )


def test_latex_shows_the_letters_that_it_would_take_for_commands():
    assert for_latex(r"\input{x} 50% a_b & #1 $2^3$ ~") == (
        r"\textbackslash{}input\{x\} 50\% a\_b \& \#1 \$2\textasciicircum{}3\$ \textasciitilde{}"
    )


@pytest.mark.parametrize("words", ["=1+1", "+cmd", "-x", "@sum", "\tx", "--1"])
def test_a_spreadsheet_computes_nothing(words):
    assert for_spreadsheet(words) == f"'{words}"


@pytest.mark.parametrize("words", ["-1.5", "+3", "-1e-3", "cat", "a=b", ""])
def test_numbers_and_plain_words_stay(words):
    assert for_spreadsheet(words) == words
    assert next(csv.reader(io.StringIO(words or '""')))[0] == words
