"""Numerical checks of the theory."""
