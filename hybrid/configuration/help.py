"""What --help prints: the command's own words, the groups with their options, and every setting with the reason it is there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path


def print_help(docstring: str, configs: Path, config_name: str, arguments: Sequence[str]) -> None:
    """Print the help of a command whose configuration is `configs/<config_name>.yaml`; chosen groups show their settings."""
    chosen = dict(text.split("=", 1) for text in arguments if "=" in text)
    defaults = _defaults(configs / f"{config_name}.yaml")
    print(docstring.strip() + "\n")
    print("Groups (GROUP=OPTION chooses; * is the default):\n")
    for group in _groups(configs):
        options = [path.stem for path in sorted((configs / group).glob("*.yaml"))]
        default = chosen.get(group, defaults.get(group))
        line = "  ".join(f"{option}*" if option == default else option for option in options)
        print(textwrap.fill(line, 100, initial_indent=f"  {group:<18} ", subsequent_indent=" " * 21))
    print("\nSettings (KEY=VALUE changes one; `seed=1 trainer.batch_size=64`):\n")
    print(textwrap.indent(_settings((configs / f"{config_name}.yaml").read_text()), "  "))
    for group, default in defaults.items():
        option = chosen.get(group, default)
        path = configs / group / f"{option}.yaml"
        if path.is_file():
            print(f"  {group}:   # {group}={option}")
            print(textwrap.indent(_settings(path.read_text()), "    "))
    print(
        "Also: --cfg job prints the whole composed configuration, -m runs a sweep (seed=0,1,2), --info searchpath and"
    )
    print("--shell-completion are Hydra's. HYBRID_TRACEBACK=1 shows where in the code an error comes from.")


def _groups(configs: Path) -> list[str]:
    folders = {path.parent.relative_to(configs).as_posix() for path in configs.rglob("*.yaml")} - {"."}
    return sorted(folders)


def _defaults(path: Path) -> dict[str, str]:
    """Group -> option of a configuration's defaults list, read from the text so that comments can stay where they are."""
    block = re.search(r"^defaults:\n((?:\s+-.*\n|\s*#.*\n)*)", path.read_text(), re.MULTILINE)
    entries = re.findall(r"-\s+([\w/]+):\s*(\w+)", block[1] if block else "")
    return {group: option for group, option in entries if group != "override"}


def _settings(text: str) -> str:
    """A yaml file without its defaults list and Hydra's own section."""
    text = re.sub(r"^defaults:\n(?:\s+-.*\n|\s+#.*\n)*\n?", "", text, flags=re.MULTILINE)
    return re.sub(r"^hydra:\n(?:[ \t]+.*\n?|\n)*", "", text, flags=re.MULTILINE).strip() + "\n"
