"""The text of --help: the command's own words, the groups with their options, every setting with the reason it is there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hybrid.configuration.paths import ConfigFolders


def print_help(
    docstring: str, configs: ConfigFolders, config_name: str, choices: Mapping[str, str], *, groups: Collection[str]
) -> None:
    """Print the help of a command whose configuration is `<config_name>.yaml`.

    `choices` are the chosen options, group by group: their settings are shown, in the words of their files. `groups` are
    the groups that the command has; groups within them (model/head) are shown with them, and so are a user's own.
    """
    print(docstring.strip() + "\n")
    _print_groups(configs, choices, groups)
    print("\nSettings (KEY=VALUE changes one: seed=1 trainer.batch_size=64):\n")
    print(textwrap.indent(_settings(configs.find(config_name).read_text()), "  "))
    for group, option in sorted(choices.items()):
        for path in _files(configs, f"{group}/{option}"):
            beneath = "" if path.stem == option else ", for what is not set above"
            print(f"  {group.replace('/', '.')}:   # {group}={path.stem}{beneath}")
            print(textwrap.indent(_settings(path.read_text()), "    "))
    print("--cfg job prints the whole composed configuration, --info defaults the files that it is composed from.")
    print("--config-dir DIR, or $HYBRID_CONFIGS, adds a folder of your own groups, options and recipes.")
    print("HYBRID_TRACEBACK=1 shows where in the code an error comes from.")


def _print_groups(configs: ConfigFolders, choices: Mapping[str, str], groups: Collection[str]) -> None:
    """The groups with their options; a group that only the user has is chosen with a sign in front."""
    print("Groups (GROUP=OPTION chooses; * is chosen here):\n")
    hybrids = ConfigFolders(configs.folders[-1:]).groups()
    for group in configs.groups():
        if group in hybrids and group.split("/")[0] not in groups:
            continue  # of another command
        name = group if group in hybrids else f"+{group}"
        line = "  ".join(f"{each}*" if each == choices.get(group) else each for each in configs.options(group))
        print(textwrap.fill(line, 100, initial_indent=f"  {name:<20} ", subsequent_indent=" " * 23))


def _files(configs: ConfigFolders, name: str) -> Iterator[Path]:
    """A configuration and, after it, those of its own group that it starts from (`- none` in its defaults list)."""
    path = configs.find(name)
    if path is None:
        return
    yield path
    defaults = re.match(r"(?:#.*\n)*defaults:\n((?:\s+(?:-|#).*\n)*)", path.read_text())
    for base in re.findall(r"^\s+-\s+(\w+)\s*$", defaults[1] if defaults else "", re.MULTILINE):
        if base != "_self_":
            yield from _files(configs, f"{name.rpartition('/')[0]}/{base}")


def _settings(text: str) -> str:
    """A yaml file without its defaults list."""
    return re.sub(r"^defaults:\n(?:\s+-.*\n|\s+#.*\n)*\n?", "", text, flags=re.MULTILINE).strip() + "\n"
