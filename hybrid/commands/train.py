"""Train a hybrid network, or go on with a run that was stopped.

    hybrid train experiment=digits                          scat_resnet on digits: no download, a minute on two cores
    hybrid train model=scat_resnet data=cifar10
    hybrid train model=scat_wrn data=cifar10 data.subset.n=500 trainer.duration='4000 epochs'
    hybrid train model=scat_wrn --help                      the settings of that model
    hybrid train -m seed=0,1,2 optimizer.lr=0.1,0.05        a sweep: six runs; cluster.workers=2 at a time, cluster=slurm
    hybrid train --from outputs/RUN                         exactly that run, whatever configs/ says now
    hybrid train debug=fast                                 does everything run?

The same command finds the same folder in outputs/: an unfinished run continues, a finished one is left alone.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

from omegaconf import DictConfig

from hybrid.configuration.entry import main
from hybrid.lazy import collecting_later


def _sweep(arguments: Sequence[str]) -> None:
    from hybrid.runs.sweeps.launch import launch

    launch(arguments)


@main(sweep=_sweep)
def train(cfg: DictConfig) -> None:
    """Run the configuration."""
    from hybrid.training.early_checks import check_run  # after the command line is read: a typo is answered at once

    check_run(cfg)
    with collecting_later():
        from hybrid.training.run import run  # after the settings are checked: it loads torch
    gc.freeze()  # no collection looks at the objects of modules again

    run(cfg)
