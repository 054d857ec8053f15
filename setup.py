"""The packages, which pyproject.toml cannot list: configs/ lies at the top level and is installed as hybrid/configs."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["hybrid", "hybrid.*"]), "hybrid.configs"],
    package_dir={"hybrid.configs": "configs"},
)
