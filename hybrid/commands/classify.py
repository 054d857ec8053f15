"""Fit a classifier to features that a fixed front-end makes of images, in many random divisions, and test it.

    hybrid classify data=mnist model.frontend.J=3 data.subset.n=300 features.normalize=paths
    hybrid classify classifier=svm data=mnist model.frontend.J=3 data.subset.n=300 features.normalize=range
    hybrid classify experiment=kth_tips features=multi_scale data.per_class=5         # 200 divisions of textures
    hybrid classify data=folder data.root=photos data.per_class=20 splits=50 features=log_means
    hybrid classify --from outputs/RUN          exactly that run, whatever configs/ says now

`classifier` learns from what `features` makes of the front-end's maps: their logarithm, averages over positions, over sizes of
the image, one scale. There is no augmentation, and the model's head is built and not used. With splits=200 each image's features
are computed once, and 200 classifiers are trained and tested on random divisions: that of data.split_seed and seed, and the
following ones. Features are kept in a file, for other commands too (cache=false: they are not). The run's folder is like one of
training, without weights: `hybrid report` reads it. The same command finds the same folder.
"""

from omegaconf import DictConfig

from hybrid.configuration.entry import main


@main("classify")
def classify(cfg: DictConfig) -> None:
    """Fit and test."""
    # after the command line is read: a typo is answered at once
    from hybrid.training.early_checks import check_classifier

    check_classifier(cfg)
    from hybrid.classification.run import run  # after the settings are checked: it loads torch

    run(cfg)
