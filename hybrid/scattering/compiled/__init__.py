"""The scattering transform compiled for this machine: code generation, compilers, the choice of the faster engine."""
