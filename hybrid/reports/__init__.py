"""Figures and tables, from tensors and from the records of runs."""
