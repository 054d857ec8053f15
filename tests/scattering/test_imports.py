"""The library costs little more than torch: which modules its import and its first call bring in."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
import numpy, torch
before = set(sys.modules)
from hybrid.scattering import Scattering2D
imported = set(sys.modules) - before
scattering = Scattering2D(1, (8, 8), 2)
images = torch.rand(2, 8, 8, requires_grad=True)
scattering(images).sum().backward()
print(json.dumps([sorted(imported), sorted(set(sys.modules) - before)]))
"""


def test_the_import_needs_torch_and_numpy_alone(root):
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True, timeout=300
    )
    imported, called = json.loads(finished.stdout)
    foreign = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"hybrid"}
    assert not foreign, "modules of other packages"
    assert not [name for name in imported if name.startswith("hybrid.scattering.compiled")]
    # torch._dynamo, and SymPy with it, takes as long to import as torch itself.
    assert not [name for name in called if name.startswith(("torch._dynamo", "sympy"))]
