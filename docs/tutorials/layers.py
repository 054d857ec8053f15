# %% [markdown]
# # What do the layers of a network do?
#
# A classifier must bring images of one class together and keep images of different classes apart. In this tutorial we
# watch a network do that, layer by layer. The network is not one of ours: it is torchvision's ResNet-18. We measure it
# twice: with random weights, and after it has learned to read handwritten digits for a few epochs. If you have trained
# weights of your own, load them in place of the training.
#
# ## Images
#
# We use scikit-learn's digits, because they need no download: 1,200 images to train on and to measure, 597 others.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

import hybrid

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
images = torch.nn.functional.interpolate(images, size=32).expand(-1, 3, -1, -1)
labels = torch.tensor(digits.target)
loader = DataLoader(
    TensorDataset(images[:1200], labels[:1200]), batch_size=64, shuffle=True
)
others = images[1200:], labels[1200:]

# %% [markdown]
# ## Random weights
#
# `hybrid.analyse` takes any `torch.nn.Module` and any images. It changes nothing in the network. The layers that it
# measures are the pixels, the output of every non-linearity, and the logits.

# %%
network = resnet18(num_classes=10)
before = hybrid.analyse(network, images[:600], labels[:600], test=others)
print(before)

# %% [markdown]
# The result has a table, with one row for each layer. We look at four of its columns:
#
# - `contraction.same` and `contraction.different`: how much closer two images of the same class, and of two different
#   classes, are after the layer than before the network. Below 1, the layer brings them together.
# - `classes.ratio`: the mean distance within a class over the mean distance between classes. It is about 1 if the layer
#   does not know the classes, and falls where classes form.
# - `probe.1nn`: the accuracy of a nearest-neighbour classifier on the layer, in %, for images that were not measured.

# %%
columns = [
    "contraction.same",
    "contraction.different",
    "classes.ratio",
    "probe.1nn",
]
layers = [
    "pixels",
    "relu",
    "layer1.1.relu#2",
    "layer2.1.relu#2",
    "layer3.1.relu#2",
    "layer4.1.relu#2",
    "logits",
]
before.table.loc[layers, columns].round(2)

# %% [markdown]
# The pixels are compared as they are. Of all other layers we see averages over the positions of an image: the table's
# column `vectors` says so. That is why the first layer, of which 64 numbers are left, is worse than the pixels. The random
# layers after it are filters that see more and more of the image, and their averages do nearly as well as the pixels. But
# they treat pairs of the same class and of different classes alike, and the logits lose what the layers before had.
#
# ## After some training

# %%
optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
network.train()
for _ in range(4):
    for batch, target in loader:
        loss = torch.nn.functional.cross_entropy(network(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
network.eval()

after = hybrid.analyse(network, images[:600], labels[:600], test=others)
after.table.loc[layers, columns].round(2)

# %% [markdown]
# Now the columns tell a story. From block to block the ratio of distances falls: classes form step by step, not in one
# layer. Pairs of the same class end closer together than pairs of different classes.
#
# ## Pictures
#
# `plot` draws every figure that the measurements allow. Here is one of them: for each layer, the number of images whose
# class no number of neighbours up to k settles. The deeper the layer, the fewer there are: the boundary between the
# classes becomes simpler.

# %%
after.plot("boundary")

# %% [markdown]
# Both networks in one picture:

# %%
figure, axis = plt.subplots(figsize=(7, 3.5))
for name, analysis in {"random weights": before, "four epochs": after}.items():
    ratio = analysis.table["classes.ratio"]
    axis.plot(range(len(ratio)), ratio, marker="o", label=name)
axis.set(
    xlabel="layer, from the pixels to the logits",
    ylabel="within / between classes",
)
axis.legend()
plt.show()

# %% [markdown]
# ## Where to go from here
#
# - [Measure a network that I have](../guide/measure-a-network.md) shows the other measures: Jacobians, stability to
#   translations and noise, spectra of classes.
# - [Analysis](../guide/analysis.md) defines every measure and names its source.
# - [A hybrid and a plain network](../lab/measurements.md#a-hybrid-and-a-plain-network-layer-by-layer) compares two
#   networks on CIFAR-10, where the differences are larger.
