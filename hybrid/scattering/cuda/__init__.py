"""The engine compiled for NVIDIA GPUs.

`source` puts the CUDA C++ of one size together, `schedule` says which kernels run on which arrays, `tables` holds the numbers
that they read, `compiler` makes machine code, `driver` launches it, `kernels` is what the torch operator calls. The C++ is
written by hand but for the codelets: device.cu for all, forward.cu and backward.cu a pass each.
"""
