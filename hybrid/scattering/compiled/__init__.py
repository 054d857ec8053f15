"""The scattering transform compiled for this machine.

`engine` decides whether compiled code or the torch engine computes; `operator` is the compiled transform as torch sees it. `cpu`
and `cuda` make the code, with Fourier transforms from `codelets`, filters from `tables` and the parts that both have in common
from `source_parts`. `cache` keeps the files, `fastest_engine` the measured speeds, `selftest` what a GPU's self-test found.
"""


class CompilerError(RuntimeError):
    """Compiled code cannot be made or used here. The message is one line that says why."""
