"""Train a hybrid network, or go on with a run that was stopped.

    python train.py experiment=digits                          scat_resnet on digits: no download, a minute on two cores
    python train.py model=scat_resnet data=cifar10
    python train.py model=scat_wrn data=cifar10 data.subset.n=500 trainer.duration='4000 epochs'
    python train.py model=scat_wrn --help                      the settings of that model
    python train.py -m seed=0,1,2 optimizer.lr=0.1,0.05        a sweep: six runs; cluster.workers=2 at a time, cluster=slurm
    python train.py --from outputs/RUN                         exactly that run, whatever configs/ says now
    python train.py debug=fast                                 does everything run?

The same command finds the same folder in outputs/: an unfinished run continues, a finished one is left alone.
"""

from omegaconf import DictConfig

from hybrid.configuration.entry import main
from hybrid.runs.sweeps.launch import launch


@main(sweep=launch)
def train(cfg: DictConfig) -> float | None:
    """Run the configuration; returns the best validation accuracy (%) for searches over configurations."""
    from hybrid.training.run import run  # after Hydra has had its say: a typo is answered without loading torch

    best = run(cfg)["validation"]["best"]
    return best["top1"] if best else None


if __name__ == "__main__":
    train()
