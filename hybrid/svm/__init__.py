"""Support vector machines on fixed coefficients, in a run's folder."""
