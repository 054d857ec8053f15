"""`python -m hybrid COMMAND …` is `hybrid COMMAND …`."""

import os
import sys


def _move_current_folder() -> None:
    """Put the current folder, which Python has put in front, behind all others: a user's file may be called queue.py.

    Ends the process if such a file has already taken the place of a module of Python's.
    """
    if not sys.path or sys.path[0] != os.getcwd():  # as with python -P
        return
    sys.path.append(sys.path.pop(0))
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and os.path.dirname(file) == os.getcwd():
            name = os.path.basename(file)
            words = f"{file} is in the place of Python's own {name}: rename it, or write hybrid for python -m hybrid."
            print(f"error: {words}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    _move_current_folder()
    from hybrid.commands.main import main

    sys.argv[0] = "hybrid"  # the name under which the command is recorded
    main()
