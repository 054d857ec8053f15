"""Test whether the GPUs of this machine compute the compiled scattering transform correctly.

    hybrid selftest
    hybrid selftest device=1

The test compiles the transform for ten sizes and compares values and gradients with the torch engine in float64, in a process
of its own, for some minutes. engine=auto takes compiled code only on a GPU that has passed: it runs the test by itself, once for
each GPU and version, and keeps the verdict. This command runs it again. The exit code is 1 if a GPU does not pass.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    device: int | None = option("the GPU's number, from 0; null: all GPUs", default=None)
    seconds: float = option("after this time the test of a GPU is ended, and has failed", default=900.0)

    def __post_init__(self) -> None:
        check_at_least(self, 0, "device")
        check_at_least(self, 1, "seconds")


@command(Options)
def selftest(options: Options) -> None:
    """Test GPU by GPU, and print a line for each."""
    import torch

    from hybrid.scattering.compiled import CompilerError
    from hybrid.scattering.compiled.selftest import run_selftest

    count = torch.cuda.device_count()
    if not count:
        raise UserError(
            "torch finds no CUDA device here: there is nothing to test. Engines for CPUs need no self-test."
        )
    if options.device is not None and options.device >= count:
        raise UserError(f"device={options.device} is not there. Valid: 0 to {count - 1}, null.")
    failed = False
    for index in range(count) if options.device is None else [options.device]:
        try:
            verdict = run_selftest(index, limit=options.seconds)
        except CompilerError as error:
            raise UserError(f"cuda:{index} cannot be tested: {error}") from error
        print(f"cuda:{index}  {verdict.line}, {verdict.seconds:.0f} s", flush=True)
        failed |= not verdict.passed
    if failed:
        sys.exit(1)
