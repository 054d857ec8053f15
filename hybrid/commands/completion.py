"""Print a script that completes commands, groups, options and settings when you press Tab.

    eval "$(hybrid completion bash)"              in ~/.bashrc
    eval "$(hybrid completion zsh)"               in ~/.zshrc
    hybrid completion fish | source               in ~/.config/fish/config.fish

The script asks `hybrid completion words -- WORD …` for the words that could stand in the place of the last one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hybrid.errors import UserError, unknown_name

_BASH = """_hybrid_complete() {
    local line=${COMP_LINE:0:COMP_POINT} word candidate prefix=
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]}-1]}
    [[ $COMP_WORDBREAKS == *=* ]] && prefix=${word%"${word##*[=:]}"}  # bash replaces what follows the last of these alone
    COMPREPLY=()
    while IFS= read -r candidate; do
        [[ $candidate == *[=./,] ]] || candidate="$candidate "
        COMPREPLY+=("${candidate#"$prefix"}")
    done < <("$1" completion words -- "${words[@]:1}" 2>/dev/null)
}
complete -o nospace -F _hybrid_complete hybrid"""

_ZSH = """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_hybrid() {
    local -a candidates
    candidates=(${(f)"$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    compadd -Q -S '' -- ${(M)candidates:#*[=./,]}
    compadd -Q -S ' ' -- ${candidates:#*[=./,]}
}
compdef _hybrid hybrid"""

_FISH = """function __hybrid_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] completion words -- $words[2..-1] 2>/dev/null
end
complete -c hybrid -f -a '(__hybrid_complete)'"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def completion(arguments: Sequence[str] | None = None) -> None:
    """Print a shell's script, or the words that complete a command line; end the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:2] == ["words", "--"]:
        from hybrid.commands.words import candidates

        print(*candidates(given[2:]), sep="\n")
    elif given[:1] in (["--help"], ["-h"]):
        print((__doc__ or "").strip())
    elif len(given) == 1 and given[0] in SCRIPTS:
        print(SCRIPTS[given[0]])
    else:
        print(f"error: {_mistake(given)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _mistake(given: Sequence[str]) -> UserError:
    if len(given) == 1:
        return unknown_name(given[0], SCRIPTS, what="shell")
    return UserError(f"write hybrid completion SHELL. Valid: {', '.join(sorted(SCRIPTS))}.")
