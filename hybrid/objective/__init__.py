"""What a run learns and how it is judged: `objective.py` puts the task, a loss of `losses.py` and `metrics.py` together."""
