"""Measurements of a run's model: during the training (`live.py`), afterwards (`offline.py`), and pictures for the records."""
