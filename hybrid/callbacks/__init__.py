"""Objects that the trainer calls at the events of a run: `callbacks.py` lists the events, and hybrid brings two callbacks."""
