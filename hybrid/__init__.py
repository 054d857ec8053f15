"""Wavelet scattering and networks on top of it: a fast transform, hybrid networks, and measurements of why they work.

    import hybrid                                     # loads no torch: every name below is imported when it is first used

    hybrid.Scattering2D(J=2, shape=(32, 32))          # the transform, a plain torch module with kymatio's values
    hybrid.LearnedScattering2D(J=2, shape=(32, 32))   # the same, whose wavelets are parameters to train
    hybrid.RotoTranslationScattering2D(J=2, shape=(32, 32))   # scattering on rotations and translations together
    hybrid.AffineClassifier(dimension=10)             # an estimator of scikit-learn: the nearest affine space wins
    hybrid.build_model("scat_wrn", image_shape=(3, 32, 32), num_classes=10)
    hybrid.load_data("cifar10", subset=500)           # the images: splits and loaders
    hybrid.train("model=scat_wrn", "data=cifar10")    # what the command `hybrid train` does
    hybrid.load_run("outputs/RUN")                    # a run's model, configuration, results, records and analysis
    hybrid.read_runs("outputs")                       # a pandas table, a row a run
    hybrid.analyse(model, images, labels)             # any torch module, measured layer by layer

Everything else is reached by its module: `hybrid.scattering`, `hybrid.models`, `hybrid.data`, `hybrid.analysis`, …
"""

from typing import TYPE_CHECKING

from hybrid.errors import UserError
from hybrid.lazy import lazy_names
from hybrid.version import __version__

if TYPE_CHECKING:  # for editors and type checkers
    from hybrid.analysis import Analysis, analyse
    from hybrid.api import Run, load_run, train
    from hybrid.classification import AffineClassifier
    from hybrid.configuration.by_name import build_model, load_data
    from hybrid.reports.runs import read_runs
    from hybrid.scattering import LearnedScattering2D, RotoTranslationScattering2D, Scattering2D

__all__ = [
    "AffineClassifier",
    "Analysis",
    "LearnedScattering2D",
    "RotoTranslationScattering2D",
    "Run",
    "Scattering2D",
    "UserError",
    "__version__",
    "analyse",
    "build_model",
    "load_data",
    "load_run",
    "read_runs",
    "train",
]

_get, _dir = lazy_names(
    __name__,
    {
        "AffineClassifier": "hybrid.classification",
        "Analysis": "hybrid.analysis",
        "LearnedScattering2D": "hybrid.scattering",
        "RotoTranslationScattering2D": "hybrid.scattering",
        "Run": "hybrid.api",
        "Scattering2D": "hybrid.scattering",
        "analyse": "hybrid.analysis",
        "build_model": "hybrid.configuration.by_name",
        "load_data": "hybrid.configuration.by_name",
        "load_run": "hybrid.api",
        "read_runs": "hybrid.reports.runs",
        "train": "hybrid.api",
    },
)
__getattr__ = _get


def __dir__() -> list[str]:
    return sorted([*globals(), *_dir()])
