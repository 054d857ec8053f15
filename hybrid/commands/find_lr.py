"""Find a learning rate: train a new network for a hundred steps while the rate grows, and see where the loss falls fastest.

    hybrid find-lr model=scat_resnet data=cifar10
    hybrid find-lr experiment=digits optimizer=adamw

It takes the arguments of `hybrid train`. A table and a figure (analysis.formats=[png,svg,pdf]) are written to outputs/find-lr;
nothing of a run is read or changed. The suggestion is a place to begin: it holds for this batch size, and knows nothing of the
schedule.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.entry import main
from hybrid.escaping import say


@main()
def find_lr(cfg: DictConfig) -> None:
    """Test, print, write."""
    from hybrid.training.early_checks import check_run

    check_run(cfg)
    from hybrid.files import write_text
    from hybrid.reports.style import save_figure
    from hybrid.runs.identity import run_name
    from hybrid.training.lr_finder import find_lr as test

    found = test(cfg)
    stem = Path(cfg.run.root) / "find-lr" / (cfg.run.name or run_name(cfg))
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = stem.with_name(f"{stem.name}.csv")
    write_text(table, found.to_csv())
    pictures = save_figure(found.plot(), stem, OmegaConf.select(cfg, "analysis.formats") or ["png"])
    print(f"the loss falls fastest at a learning rate of {found.steepest:.2g}, and is lowest at {found.lowest:.2g}")
    print(f"suggestion:  optimizer.lr={found.steepest:.1g}")
    say(f"table   {table}", *(f"figure  {picture}" for picture in pictures))
