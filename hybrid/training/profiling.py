"""debug=profile: where a training step spends its time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from hybrid.escaping import say


class Profiler:
    """Records six steps after four of warm-up; prints the costliest operations and leaves a trace in a folder."""

    def __init__(self, folder: Path, *, enabled: bool) -> None:
        self.folder, self._profile = folder, None
        if enabled:
            activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
            steps = schedule(wait=2, warmup=2, active=6, repeat=1)
            self._profile = profile(activities=activities, schedule=steps, on_trace_ready=self._report)

    def step(self) -> None:
        """One training step has ended."""
        if self._profile is not None:
            self._profile.step()

    def __enter__(self) -> Profiler:
        if self._profile is not None:
            self._profile.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._profile is not None:
            self._profile.__exit__(*error)

    def _report(self, recorded: profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        order = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = recorded.key_averages().table(sort_by=order, row_limit=20, max_name_column_width=48)
        (self.folder / "operations.txt").write_text(table)
        recorded.export_chrome_trace(str(self.folder / "trace.json"))
        print(table)
        say(f"Trace for Perfetto: {self.folder / 'trace.json'}")
