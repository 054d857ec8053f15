"""Numbers per layer as text and as CSV."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from hybrid.errors import UserError
from hybrid.reports.layer_table import layer_csv, layer_table, write_layer_csv

ROWS = [
    {"layer": "pixels", "depth": 0, "1-NN": 22.134, "epsilon": 3e-5, "boundary_1": 36000},
    {"layer": "stages.0.0.relu1", "depth": 1, "1-NN": np.float32(7.3), "epsilon": 12.5, "boundary_1": np.int64(800)},
    {"layer": "logits", "depth": 2, "1-NN": None, "epsilon": float("nan"), "boundary_1": 7, "separated": True},
]


def test_text_is_aligned_with_equal_decimals_in_a_column():
    assert layer_table(ROWS).splitlines() == [
        "layer             depth   1-NN  epsilon  boundary_1  separated",
        "----------------  -----  -----  -------  ----------  ---------",
        "pixels                0  22.13    3e-05      36,000          –",
        "stages.0.0.relu1      1   7.30     12.5         800          –",
        "logits                2      –      nan           7       true",
    ]


@pytest.mark.parametrize(
    "values, shown",
    [([0.5, 0.25], ["0.5000", "0.2500"]), ([1234.5, 0.0], ["1,234.5", "0.0"]), ([2e8, 1.0], ["2e+08", "1"]),
     ([float("inf"), 1.5], ["inf", "1.500"])],
)  # fmt: skip
def test_decimals_suit_the_column(values, shown):
    lines = layer_table([{"x": value} for value in values]).splitlines()
    assert [line.strip() for line in lines[2:]] == shown


def test_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(layer_csv([{"layer": 'a,"b"', "x": 1 / 3}, *ROWS]))))
    assert rows[0]["layer"] == 'a,"b"' and float(rows[0]["x"]) == 1 / 3
    assert [row["boundary_1"] for row in rows] == ["", "36000", "800", "7"]
    assert rows[3]["1-NN"] == "" and rows[3]["epsilon"] == "nan" and rows[3]["separated"] == "true"


def test_csv_is_written_whole_into_a_new_folder(tmp_path):
    write_layer_csv(tmp_path / "new" / "layers.csv", ROWS)
    assert (tmp_path / "new" / "layers.csv").read_text() == layer_csv(ROWS)
    with pytest.raises(UserError, match="cannot be written"):
        write_layer_csv(tmp_path / "new" / "layers.csv" / "below", ROWS)


def test_what_is_no_cell_is_an_error():
    with pytest.raises(UserError, match="boundary is a list; a cell holds a word, a number or nothing"):
        layer_table([{"layer": "pixels", "boundary": [3, 2]}])
    with pytest.raises(UserError, match="at least one row"):
        layer_csv([])


def test_names_of_others_move_no_cursor_and_are_no_formula():
    rows = [{"layer": "=1+1\x1b[31m", "probe": 1.5}]
    assert "\x1b" not in layer_table(rows) and "\\x1b[31m" in layer_table(rows)
    assert layer_csv(rows).splitlines()[1].startswith("'=1+1")
