"""Print the oldest versions that pyproject.toml allows, as pip takes them: torch==2.6 and so on, a line each.

python -m venv build/oldest
python scripts/oldest_versions.py > build/oldest/versions.txt
build/oldest/bin/pip install -r build/oldest/versions.txt pytest hypothesis
"""

from __future__ import annotations

import importlib.metadata
import re


def oldest(requirement: str) -> str:
    """The oldest version that a requirement allows: "torch>=2.6,<3" gives "torch==2.6"."""
    name = re.match(r"[\w.-]+", requirement)[0]
    bounds = dict(re.findall(r"(>=|==)([\w.]+)", requirement))
    version = (bounds.get(">=") or bounds["=="]).rstrip(".")
    return f"{name}=={version}"


def main() -> None:
    """Print them."""
    for requirement in importlib.metadata.requires("hybrid-scattering") or []:
        if ";" not in requirement:  # of an extra
            print(oldest(requirement))


if __name__ == "__main__":
    main()
