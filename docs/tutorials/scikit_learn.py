# %% [markdown]
# # Scattering as features for scikit-learn
#
# The scattering transform learns nothing, so it works as a fixed feature extractor in front of any classifier. In this
# tutorial it is a step of a scikit-learn pipeline. We compare it with raw pixels, ask how many labels each of them needs,
# and choose its scale by cross-validation.
#
# ## A pipeline

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybrid.scattering import ScatteringTransformer2D

digits = load_digits()
images, labels = digits.images / 16, digits.target
images.shape

# %% [markdown]
# `ScatteringTransformer2D` takes images (n, height, width), with or without a colour channel, or rows of pixels. It
# returns rows of coefficients.

# %%
scattering = ScatteringTransformer2D(J=1, shape=(8, 8))
scattering.fit_transform(images[:5]).shape

# %%
pipeline = make_pipeline(scattering, StandardScaler(), RidgeClassifier())
pixels = make_pipeline(StandardScaler(), RidgeClassifier())
rows = images.reshape(len(images), -1)

scores = pd.DataFrame(
    {
        "pixels": cross_val_score(pixels, rows, labels, cv=5),
        "scattering": cross_val_score(pipeline, images, labels, cv=5),
    }
)
(100 * scores).agg(["mean", "std"]).round(2)

# %% [markdown]
# The classifier is linear in both cases. The coefficients make the classes easier to separate by a plane.
#
# ## How many labels?
#
# Features that need no training help most where labels are few. For each number of labels we draw ten training sets at
# random, and test on 500 other images.

# %%
counts = [20, 50, 100, 200, 500]
curves = {"pixels": (pixels, rows), "scattering": (pipeline, images)}
figure, axis = plt.subplots(figsize=(6.5, 3.5))
for name, (model, inputs) in curves.items():
    means, stds = [], []
    for count in counts:
        split = StratifiedShuffleSplit(
            10, train_size=count, test_size=500, random_state=0
        )
        accuracy = 100 * cross_val_score(model, inputs, labels, cv=split)
        means.append(accuracy.mean())
        stds.append(accuracy.std(ddof=1))
    axis.errorbar(counts, means, yerr=stds, marker="o", capsize=3, label=name)
axis.set(xscale="log", xlabel="labelled images", ylabel="accuracy (%)")
axis.set_xticks(counts, counts)
axis.minorticks_off()
axis.legend()
plt.show()
# %% [markdown]
# ## Choose the scale
#
# The settings of the transform are parameters of the pipeline, so scikit-learn's tools choose them. `J` is the scale:
# the coefficients are averages over 2^J pixels. `max_order=1` leaves out the second order.

# %%
search = GridSearchCV(
    pipeline,
    {
        "scatteringtransformer2d__J": [1, 2],
        "scatteringtransformer2d__max_order": [1, 2],
        "ridgeclassifier__alpha": np.logspace(-1, 2, 4),
    },
    cv=3,
)
search.fit(images[:600], labels[:600])
search.best_params_

# %%
print(
    f"{100 * search.score(images[600:], labels[600:]):.2f} % of the other images"
)

# %% [markdown]
# ## Where to go from here
#
# - [Coming from kymatio](../guide/coming-from-kymatio.md) compares this transformer with kymatio's.
# - [`hybrid svm`](../guide/commands.md#svm) fits a Gaussian support vector machine to the coefficients of larger images, and keeps
#   the result in a run's folder.
# - [Few labels](../guide/few-labels.md) does the same with networks.
