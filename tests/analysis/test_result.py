"""An Analysis on the disk, as a table and as figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybrid.analysis import Analysis
from hybrid.errors import UserError

OLD = Path(__file__).parent / "files" / "format-1.npz"  # written before `Analysis` had its name


@pytest.fixture(scope="module")
def analysis():
    return Analysis.load(OLD)


def test_files_of_earlier_versions_are_read(analysis):
    assert analysis.layers == ["pixels", "S0", "S1", "scattering", "relu", "logits"]
    assert analysis.about["model"] == "tiny" and analysis.about["images"] == 60 and analysis.problems == []
    assert (
        analysis.array("S1", "boundary.nested").tolist() == [41, 26, 26, 19, 19] and analysis.array("S1", "x") is None
    )
    assert analysis.rows()[2]["boundary.nested_1"] == pytest.approx(100 * 41 / 60)
    assert analysis.curve("jacobian.median")[0] == ("pixels", pytest.approx(1))


def test_it_comes_back_from_the_disk_as_it_was(analysis, tmp_path):
    analysis.save(tmp_path / "new" / "again.npz")
    again = Analysis.load(tmp_path / "new" / "again.npz")
    assert again.about == analysis.about and again.arrays.keys() == analysis.arrays.keys()
    assert all(np.array_equal(again.arrays[name], array) for name, array in analysis.arrays.items())
    with pytest.raises(UserError, match="file/x.npz cannot be written"):
        (tmp_path / "file").write_text("in the way")
        analysis.save(tmp_path / "file" / "x.npz")


def test_the_table_has_a_row_a_layer_and_every_column_is_documented(analysis):
    table = analysis.table
    assert list(table.index) == analysis.layers and list(table.columns[:4]) == ["kind", "depth", "vectors", "dimension"]
    assert table.loc["S1", "boundary.nested_1"] == pytest.approx(100 * 41 / 60)
    assert table["classes.ratio"].dtype == float and table.index.name == "layer"
    text = " ".join(Analysis.table.__doc__.split())
    for column in table.columns:
        measure, _, detail = column.partition(".")
        assert f"{measure}." in text or measure in text.split(" contraction.same")[0], column
        assert detail.rstrip("0123456789") in text, column


def test_figures_are_drawn_by_name(analysis):
    drawn = analysis.plot("boundary", "contraction", "spectra")
    assert set(drawn) == {"boundary", "contraction", "spectra"}
    assert drawn._repr_html_().count('src="data:image/png;base64,iVBOR') == 3  # in a notebook
    with pytest.raises(UserError, match="unknown figure of this analysis: boundery. Did you mean boundary"):
        analysis.plot("boundery")


def test_it_says_what_it_is(analysis):
    assert repr(analysis) == "Analysis of tiny: 6 layers, 60 images; see .table and .plot()"
    assert "<table" in analysis._repr_html_()
    assert analysis.with_about(step=3, model="other").about["model"] == "tiny"
    with pytest.raises(UserError, match="unknown layer of the analysis: rleu. Did you mean relu"):
        analysis.arrays_of("rleu")


def test_what_is_no_analysis_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no analysis"):
        Analysis.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "hostile.npz", about=np.array({"format": 1}, dtype=object))
    for name in ("text", "other", "hostile"):
        with pytest.raises(UserError, match=f"{name}.npz cannot be read as an analysis"):
            Analysis.load(tmp_path / f"{name}.npz")


def test_reading_one_loads_numpy_alone():
    code = (
        "import sys; from hybrid.analysis import Analysis; Analysis.load(sys.argv[1]).rows();"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'sklearn', 'scipy') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(OLD)], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_measuring_loads_no_library_before_it_is_needed():
    code = (
        "import sys, hybrid.analysis.model;"
        "print([name for name in ('pandas', 'matplotlib', 'sklearn', 'scipy', 'hydra', 'torchvision', 'hybrid.models') "
        "if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_every_public_name_is_there():
    import hybrid.analysis

    assert sorted(hybrid.analysis.__all__) == dir(hybrid.analysis)
    assert all(getattr(hybrid.analysis, name) is not None for name in hybrid.analysis.__all__)
