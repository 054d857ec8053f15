# %% [markdown]
# # A first hybrid network
#
# A *hybrid network* has two parts. The first one is a wavelet scattering transform: its filters are fixed, so it learns
# nothing. The second one is a small convolutional network that learns. In this tutorial we train such a network on
# scikit-learn's handwritten digits, look at its results, and ask what its layers do. Nothing is downloaded.
#
# ## The transform
#
# We begin with the images, 360 of them, and with the fixed part of the network. `Scattering2D` takes images of one size and
# returns their *scattering coefficients*: averages of wavelet responses, at several scales and angles.

# %%
import matplotlib.pyplot as plt

import hybrid

digits = hybrid.load_data("digits")
images, labels = next(
    iter(digits.loader("test", batch_size=360, raw=True))
)  # raw: values from 0 to 1
images.shape  # images, channels, height, width

# %%
scattering = hybrid.Scattering2D(J=2, shape=(32, 32))
coefficients = scattering(images[:8])
coefficients.shape  # images, channels, paths, height, width

# %% [markdown]
# Each of the 81 paths is a small map of 8 × 8 values. The first path is a blurred image (order 0). Paths 1 to 16 are the
# responses to wavelets of 2 scales and 8 angles (order 1). The others are responses to pairs of wavelets (order 2).

# %%
figure, axes = plt.subplots(2, 5, figsize=(9, 3.8))
for row, image in enumerate((3, 7)):
    axes[row, 0].imshow(images[image, 0], cmap="gray")
    for column, path in enumerate((0, 1, 5, 30), start=1):
        axes[row, column].imshow(coefficients[image, 0, path], cmap="gray")
for axis, title in zip(
    axes[0],
    ("image", "order 0", "order 1", "order 1, other angle", "order 2"),
    strict=True,
):
    axis.set_title(title, fontsize=10)
for axis in axes.flat:
    axis.set_axis_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Training
#
# `hybrid.train` does what the command `hybrid train` does: each argument is one setting of the command line. The recipe
# `experiment=digits` puts a residual network of ten layers on top of the transform. The recipe trains for 20 epochs; three
# are enough to see it learn.

# %%
run = hybrid.train(
    "experiment=digits", "trainer.duration=3 epochs", "trainer.progress=none"
)
run

# %% [markdown]
# Everything about this run is in its folder. If you call `hybrid.train` again with the same arguments, it finds the folder
# and returns at once. If a run was interrupted, the same call continues it, bit for bit.

# %%
sorted(path.name for path in run.path.iterdir())

# %%
run.summary["test"]

# %% [markdown]
# `run.metrics` is a pandas table with one row for each record of the training. A number that was not recorded in a row is
# missing there.

# %%
validation = run.metrics[["epoch", "validation/top1"]].dropna()
training = run.metrics[["epoch", "train/top1"]].dropna()

figure, axis = plt.subplots(figsize=(6, 3.2))
axis.plot(training["epoch"], training["train/top1"], label="training images")
axis.plot(
    validation["epoch"],
    validation["validation/top1"],
    marker="o",
    label="validation images",
)
axis.set(xlabel="epoch", ylabel="accuracy (%)")
axis.legend()
plt.show()
# %% [markdown]
# ## Prediction
#
# A run predicts the classes of images that it has never seen: files, folders of files, or arrays.

# %%
run.predict(images[:5], top=2)

# %%
labels[:5]
