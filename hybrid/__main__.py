"""`python -m hybrid COMMAND …` is `hybrid COMMAND …`."""

import sys

from hybrid.commands.main import main

if __name__ == "__main__":
    sys.argv[0] = "hybrid"  # as which the command is recorded
    sys.path.append(
        sys.path.pop(0)
    )  # the current folder, behind Python's own modules: a user's file may be called queue.py
    main()
