"""The engine compiled for CPUs.

`source` puts the C++ of one size together, `compiler` makes a library of it, `kernels` calls it. The C++ is written by hand but
for the codelets: vectors.cpp for all, images*.cpp where lanes are images, rows*.cpp where they are neighbouring rows.
"""
