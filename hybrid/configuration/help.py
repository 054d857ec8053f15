"""The text of --help: the command's own words, the groups with their options, every setting with the reason it is there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from hybrid.configuration.hydra_arguments import choosable_groups
from hybrid.configuration.paths import ConfigFolders


def print_help(docstring: str, config_name: str, choices: Mapping[str, str]) -> None:
    """Print the help of a command whose configuration is `<config_name>.yaml`.

    `choices` are the chosen options, group by group: their settings are shown, in the words of their files.
    """
    configs = ConfigFolders.read()
    print(docstring.strip() + "\n")
    print("Groups (GROUP=OPTION chooses; * is chosen here):\n")
    for name in choosable(configs, config_name):
        group = name.lstrip("+")
        line = "  ".join(f"{each}*" if each == choices.get(group) else each for each in configs.options(group))
        print(textwrap.fill(line, 100, initial_indent=f"  {name:<20} ", subsequent_indent=" " * 23))
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


def choosable(configs: ConfigFolders, config_name: str) -> list[str]:
    """The groups that a command can choose from, with those within them (model/head); a user's own group has a + in front."""
    hybrids = ConfigFolders(configs.folders[-1:]).groups()
    own = choosable_groups(config_name)
    names = {group: group if group in hybrids else f"+{group}" for group in configs.groups()}
    return [name for group, name in names.items() if group.split("/")[0] in own or group not in hybrids]


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
