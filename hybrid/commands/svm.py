"""Fit a support vector machine to the fixed coefficients of a model, and test it.

    python scripts/fit_svm.py data=mnist model.frontend.J=3 data.subset.n=300
    python scripts/fit_svm.py -m data=mnist model.frontend.J=3 data.subset.n=300,1000,5000 seed=0,1,2,3,4
    python scripts/fit_svm.py svm=linear svm.C=10 data=digits
    python scripts/fit_svm.py --from outputs/RUN               exactly that run, whatever configs/ says now

What front-end and normalization make of the training images, as evaluation sees them, is all it learns from; the model's head
is built and not used. C is chosen by cross-validation on the training images. Memory and time grow with the square of their
number. The run has a folder as training leaves one, without weights: report.py and results.py read it, evaluate.py does not.
The same command finds the same folder: a finished run is left alone, an unfinished one begins again.
"""

from omegaconf import DictConfig

from hybrid.configuration.entry import main


@main("fit_svm")
def fit_svm(cfg: DictConfig) -> None:
    from hybrid.svm.run import run  # after Hydra has had its say: a typo is answered without loading torch

    run(cfg)


if __name__ == "__main__":
    fit_svm()
