"""Imports go one way, library ← framework ← commands, and the parts that know no configuration import none."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hybrid"

LEAVES = {
    "cache_folder", "durations", "errors", "escaping", "files", "graphs", "lazy", "locks", "plain", "ranges", "seeding",
    "stratified", "streams", "taps", "version",
}  # fmt: skip
LEAF_TO_LEAF = {
    "durations": {"errors"},
    "files": {"errors"},
    "ranges": {"errors"},
    "seeding": {"lazy"},
    "stratified": {"errors", "lazy"},
    "taps": {"errors"},
}
# What each room may import beside the leaves. Imports inside functions count; those for type checkers do not.
ARROWS = {
    # the library: torch and NumPy
    "scattering": set(),
    "analysis": {"scattering", "reports"},  # reports: Analysis.plot() draws
    # the framework
    "data": {"distributed", "scattering"},  # a rank's part of a batch, and of the cores; the compiler, for resizing
    "models": {"scattering"},
    "distributed": set(),
    "configuration": {"data", "models", "distributed"},
    "runs": {"configuration"},
    "reports": {"configuration", "runs", "scattering"},
    "objective": {"configuration", "data", "runs"},
    "callbacks": {"configuration", "data", "distributed", "models"},
    "training": {
        "analysis", "callbacks", "configuration", "data", "distributed", "models", "objective", "reports", "runs", "scattering",
    },
    "classification": {"configuration", "data", "distributed", "models", "runs", "scattering", "training"},
    "prediction": {"data"},
    "export": {"configuration", "data", "models", "scattering"},
    # the doors
    "api": {"analysis", "callbacks", "configuration", "export", "prediction", "runs", "training"},
    "commands": {
        "analysis", "configuration", "data", "export", "models", "objective", "prediction", "reports", "runs", "scattering",
        "classification", "training",
    },
    "__main__": {"commands"},
}  # fmt: skip
BUILDERS = {
    "hybrid.configuration.from_config",
    "hybrid.configuration.by_name",
}  # the rest of the room starts without torch
OF_OTHER_PROCESSES = {"hybrid.distributed.rank_slices", "hybrid.distributed.launch"}  # neither of them needs torch
OF_A_CONFIGURATION = {"hydra", "omegaconf", "yaml"}


def module_of(path: Path) -> str:
    return ".".join(("hybrid", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that are imported in a tree, but for those that only a type checker needs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (name.name for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{name.name}" for name in child.names]
            yield from (name if name in MODULES else str(child.module) for name in names)
        yield from imported(child)


IMPORTS = {name: set(imported(ast.parse(path.read_text()))) for name, path in MODULES.items()}


class _WithoutFunctions(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None


def _without_functions(tree: ast.Module) -> ast.AST:
    return _WithoutFunctions().visit(tree)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "hybrid"


def test_every_room_imports_what_it_may():
    allowed = {**{leaf: LEAF_TO_LEAF.get(leaf, set()) for leaf in LEAVES}, "hybrid": LEAVES}
    allowed |= {name: {name} | LEAVES | arrows | {"hybrid"} for name, arrows in ARROWS.items()}
    wrong = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if other.split(".")[0] == "hybrid" and room(other) not in {*allowed[room(name)], room(name)}
    ]
    assert wrong == []


def test_there_is_no_circle_of_rooms():
    order = [*graphlib.TopologicalSorter(ARROWS).static_order()]  # CycleError names the circle
    assert set(order) >= set(ARROWS)


def test_models_and_data_know_no_configuration():
    of_both = {name: others for name, others in IMPORTS.items() if room(name) in ("models", "data")}
    for name, others in of_both.items():
        assert not {other.split(".")[0] for other in others} & OF_A_CONFIGURATION, name
        assert {other for other in others if room(other) == "distributed"} <= OF_OTHER_PROCESSES, name


def test_the_library_needs_torch_and_numpy_alone():
    """What else it can use (kymatio, NVRTC) is imported by the functions that use it, or by a module that nobody imports."""
    library = [name for name in MODULES if room(name) in ("scattering", "analysis")]
    at_once = {name: set(imported(_without_functions(ast.parse(MODULES[name].read_text())))) for name in library}
    apart = [name for name in library if name.rpartition(".")[2] == "sklearn_transformer"]
    assert not set(apart) & set().union(*at_once.values())
    for name in set(library) - set(apart):
        others = {other.split(".")[0] for other in at_once[name]} - {"torch", "numpy", "hybrid"}
        assert not others - sys.stdlib_module_names, name


def test_data_are_imported_without_torch():
    """What their settings say is checked before it; a module that needs torch at once is imported where it is used."""
    at_once = {name: set(imported(_without_functions(ast.parse(MODULES[name].read_text())))) for name in MODULES}
    reached, waiting = set(), ["hybrid.data", "hybrid.training.early_checks", "hybrid.training.restore"]
    while waiting:
        name = waiting.pop()
        assert "torch" not in {other.split(".")[0] for other in at_once[name]}, name
        reached.add(name)
        waiting += [other for other in at_once[name] if other in MODULES and other not in reached]


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "configuration"])
def test_a_configuration_is_read_without_torch(name):
    heavy = {other for other in IMPORTS[name] if room(other) in ("models", "data") or other.split(".")[0] == "torch"}
    assert not heavy or name in BUILDERS
