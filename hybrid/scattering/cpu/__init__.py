"""The compiled engine.

`source` puts the C++ of one size together, `compiler` and `cache` make a library of it, `tables` holds its numbers, `kernels`
calls it, `operator` tells torch. The C++ is written by hand but for the codelets: vectors.cpp for all, images*.cpp where lanes
are images, rows*.cpp where they are neighbouring rows.
"""
