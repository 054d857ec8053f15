"""Training: what `train.py` calls is `hybrid.training.run.run`."""
