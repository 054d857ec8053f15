"""Training: what `hybrid train` calls is `hybrid.training.run.run`."""
