"""What --help prints: the command's own words, the groups with their options, every setting with the reason it is there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path


def print_help(
    docstring: str, configs: Path, config_name: str, choices: Mapping[str, str], *, groups: Collection[str]
) -> None:
    """Print the help of a command whose configuration is `configs/<config_name>.yaml`.

    `choices` are the chosen options, group by group: theirs are the settings that are shown, in the words of their files.
    `groups` are those that the command has; groups within them (model/head) are shown with them.
    """
    print(docstring.strip() + "\n")
    print("Groups (GROUP=OPTION chooses; * is chosen here):\n")
    for group in (each for each in _groups(configs) if each.split("/")[0] in groups):
        options = [path.stem for path in sorted((configs / group).glob("*.yaml"))]
        line = "  ".join(f"{option}*" if option == choices.get(group) else option for option in options)
        print(textwrap.fill(line, 100, initial_indent=f"  {group:<20} ", subsequent_indent=" " * 23))
    print("\nSettings (KEY=VALUE changes one: seed=1 trainer.batch_size=64):\n")
    print(textwrap.indent(_settings((configs / f"{config_name}.yaml").read_text()), "  "))
    for group, option in sorted(choices.items()):
        for path in _files(configs / group / f"{option}.yaml"):
            beneath = "" if path.stem == option else ", for what is not set above"
            print(f"  {group.replace('/', '.')}:   # {group}={path.stem}{beneath}")
            print(textwrap.indent(_settings(path.read_text()), "    "))
    print("Also, of Hydra: --cfg job prints the whole composed configuration, -m runs a sweep (seed=0,1,2), and")
    print("--shell-completion. HYBRID_TRACEBACK=1 shows where in the code an error comes from.")


def _groups(configs: Path) -> list[str]:
    folders = {path.parent.relative_to(configs).as_posix() for path in configs.rglob("*.yaml")} - {"."}
    return sorted(folders)


def _files(path: Path) -> Iterator[Path]:
    """A configuration and, after it, those of its own folder that it starts from (`- none` in its defaults list)."""
    yield path
    defaults = re.match(r"(?:#.*\n)*defaults:\n((?:\s+(?:-|#).*\n)*)", path.read_text())
    for base in re.findall(r"^\s+-\s+(\w+)\s*$", defaults[1] if defaults else "", re.MULTILINE):
        if base != "_self_":
            yield from _files(path.with_name(f"{base}.yaml"))


def _settings(text: str) -> str:
    """A yaml file without its defaults list and Hydra's own section."""
    text = re.sub(r"^defaults:\n(?:\s+-.*\n|\s+#.*\n)*\n?", "", text, flags=re.MULTILINE)
    return re.sub(r"^hydra:\n(?:[ \t]+.*\n?|\n)*", "", text, flags=re.MULTILINE).strip() + "\n"
