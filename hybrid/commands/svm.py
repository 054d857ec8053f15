"""Fit a support vector machine to the fixed coefficients of a model, and test it.

    hybrid svm data=mnist model.frontend.J=3 data.subset.n=300
    hybrid svm -m data=mnist model.frontend.J=3 data.subset.n=300,1000,5000 seed=0,1,2,3,4
    hybrid svm svm=linear svm.C=10 data=digits
    hybrid svm --from outputs/RUN               exactly that run, whatever configs/ says now

It learns from the coefficients that front-end and normalization make of the training images, without augmentation; the
model's head is built and not used. C is chosen by cross-validation on the training images. Memory and time grow with the
square of their number. The run's folder is like one of training, without weights: `hybrid report` reads it, `hybrid evaluate`
does not. The same command finds the same folder: a finished run is left alone, an unfinished one begins again.
"""

from omegaconf import DictConfig

from hybrid.configuration.entry import main


@main("svm")
def svm(cfg: DictConfig) -> None:
    """Fit and test."""
    # after the command line is read: a typo is answered at once
    from hybrid.training.early_checks import check_classifier

    check_classifier(cfg)
    from hybrid.classification.run import run  # after the settings are checked: it loads torch

    run(cfg)
