"""Straight-line Fourier transforms, generated: formulas in Python in, source code out.

`expressions` remembers and simplifies arithmetic, `fourier` writes the fast Fourier transform of any size with it,
`programs` puts its operations in order, `plans` says when a size is better done in two passes. Two printers need the programs
and plans and nothing of the rest: `cplusplus`, for a CPU, and `cuda`, for a GPU.
"""
