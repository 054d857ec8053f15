"""Words of other people (names of classes, settings, files, errors) made harmless for the place where they are shown."""

from __future__ import annotations

import logging
import re
import unicodedata
from typing import TextIO

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", **{letter: rf"\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(words: str) -> str:
    r"""Return the words with control characters as they are typed, such as \x1b and \n: no colours, no moved cursor.

    Characters that change the direction of writing count, too, and bytes of a name that is no UTF-8.
    """
    return "".join(
        _typed(letter) if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in words
    )


def say(*lines: object, file: TextIO | None = None) -> None:
    """Print each line as one line, on stdout or a file, whatever other people's words it holds."""
    print(*(for_terminal(str(line)) for line in lines), sep="\n", file=file, flush=True)


class OneLine(logging.Formatter):
    """Formats a record of Python's logging as one line that is harmless on a terminal, and its traceback below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return for_terminal(super().formatMessage(record))


def for_markdown(words: str) -> str:
    """Return the words as a cell of a Markdown table shows them: no table's edge, no emphasis, no link, no HTML."""
    return re.sub(r"([\\|*`<\[\]])|(?<!\w)(_)|(_)(?!\w)", lambda found: f"\\{found[0]}", for_terminal(words))


def for_latex(words: str) -> str:
    r"""Return the words with the letters escaped that TeX takes for commands: \ { } $ & # _ ^ ~ % < >."""
    return "".join(_TEX.get(letter, letter) for letter in for_terminal(words))


def for_spreadsheet(words: str) -> str:
    """Return the words with ' before them where a spreadsheet would compute: they begin with =, +, -, @ and are no number."""
    return f"'{words}" if words.startswith(_FORMULA) and not _is_number(words) else words


def _typed(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _is_number(words: str) -> bool:
    try:
        float(words)
    except ValueError:
        return False
    return True
