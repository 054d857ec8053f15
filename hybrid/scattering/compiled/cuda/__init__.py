"""The engine compiled for NVIDIA GPUs.

`source` puts the CUDA C++ of one size together, `schedule` says which kernels run on which arrays (`launches`: what a launch is),
`memory` holds the numbers that they read, `compiler` makes machine code, `driver` launches it, `kernels` runs a whole transform,
`check` compares it with the torch engine, and `devices`, which the torch operator calls, keeps one for each GPU.

The C++ is written by hand but for the codelets: device.cu and lines.cu for all, then a function for each pass in forward.cu and
backward.cu.
"""
