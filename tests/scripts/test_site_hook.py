"""scripts/site_hook.py executes a notebook that is kept as text, and makes a page of the site from it."""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.slow,
    # Jupyter's own internals, not ours to mend:
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:zmq.*", "ignore::ResourceWarning"),
]
hook = pytest.importorskip("site_hook")

SOURCE = """\
# %% [markdown]
# # A title

# %%
print("\\x1b[31mred\\x1b[0m")
print("10 %\\r20 %")
1 + 1

# %%
import pandas as pd

pd.DataFrame({"accuracy": [97.5]})

# %%
import matplotlib.pyplot as plt

plt.plot([1, 2]);

# %%
import os

os.listdir()
"""


def test_a_page_has_the_code_and_its_outputs():
    page = hook.execute(SOURCE, "example")
    title, printing, printed, value, _, table, *rest = page.parts
    assert title == "# A title"
    assert printing.startswith("```python\nprint(")
    assert printed == "``` { .text .output }\nred\n20 %\n```", "as a terminal shows it, without colours"
    assert value == "``` { .text .output }\n2\n```"
    assert "<td>97.5</td>" in table and "style" not in table and "class" not in table
    assert "![Output of the code above](example_1.png)" in rest
    assert page.pictures["example_1.png"].startswith(b"\x89PNG")
    assert rest[-1] == "``` { .text .output }\n[]\n```", "its folder is empty"


def test_an_error_in_a_tutorial_is_an_error():
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        hook.execute("# %%\n1 / 0\n", "broken")
