"""`python -m hybrid COMMAND …` is `hybrid COMMAND …`."""

import os
import sys

from hybrid.commands.main import main

if __name__ == "__main__":
    sys.argv[0] = "hybrid"  # the name under which the command is recorded
    if sys.path[0] == os.getcwd():  # behind Python's own modules: a user's file may be called queue.py
        sys.path.append(sys.path.pop(0))
    main()
