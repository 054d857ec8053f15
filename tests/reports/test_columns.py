"""Columns of words: alignment, and parts where a terminal is too narrow."""

from __future__ import annotations

from hybrid.reports.columns import Column, aligned, that_fit

NAMES = Column(["layer"], ["pixels", "relu"])
NUMBERS = Column(["test", "(%)"], ["8.5", "10.25"], right=True)


def test_words_stand_to_the_left_and_numbers_to_the_right_below_heads_that_end_together():
    assert aligned([NAMES, NUMBERS]) == [
        "         test",
        "layer     (%)",
        "------  -----",
        "pixels    8.5",
        "relu    10.25",
    ]


def test_a_table_that_fits_is_whole_and_another_continues_with_numbered_rows():
    assert that_fit([NAMES, NUMBERS], 13) == that_fit([NAMES, NUMBERS], None) == [[NAMES, NUMBERS]]
    (first, names), (second, numbers) = that_fit([NAMES, NUMBERS], 12)
    assert (names, numbers) == (NAMES, NUMBERS) and first == second == Column(["row"], ["1", "2"], right=True)
    assert [len(part) for part in that_fit([NAMES, NUMBERS], 3)] == [2, 2], "a column is never left out"
