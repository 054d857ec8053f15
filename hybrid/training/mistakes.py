"""The images that a network classifies wrongly: which are the most confident, and which classes are confused most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid import distributed


@dataclass(frozen=True)
class Mistakes:
    """Wrongly classified images, M of them.

    Attributes:
        indices: (M,) int64, positions in the data set's own files.
        labels, predicted: (M,) int64, the true classes and the predicted ones.
        probabilities: (M,) float64, of the predicted class, in 0..1.
    """

    indices: Tensor
    labels: Tensor
    predicted: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def most_confident(self, count: int) -> Mistakes:
        """The mistakes with the highest probability of the wrong class, the highest first."""
        return self._take(self._by_confidence()[:count])

    def most_confused(self, pairs: int, each: int) -> list[tuple[int, Mistakes]]:
        """The most frequent pairs (true class, predicted class): how many mistakes they are, and the most confident of them."""
        if not len(self):
            return []
        both = torch.stack([self.labels, self.predicted])
        kinds, numbers, counts = both.unique(dim=1, return_inverse=True, return_counts=True)
        order, ranked = self._by_confidence(), counts.sort(descending=True, stable=True).indices[:pairs]
        return [(int(counts[k]), self._take(order[numbers[order] == k][:each])) for k in ranked.tolist()]

    def _by_confidence(self) -> Tensor:
        return self.probabilities.sort(descending=True, stable=True).indices

    def _take(self, rows: Tensor) -> Mistakes:
        return Mistakes(self.indices[rows], self.labels[rows], self.predicted[rows], self.probabilities[rows])


def mistakes_in(outputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """The mistakes of a batch with these outputs (N, K), labels (N,) and indices (N,), as rows (M, 4) on the CPU."""
    predicted = outputs.argmax(1)
    wrong = predicted != labels
    probabilities = outputs[wrong].float().softmax(1).amax(1).double()
    columns = (indices[wrong.to(indices.device)], labels[wrong], predicted[wrong], probabilities)
    return torch.stack([column.double().cpu() for column in columns], 1)


def of_all_ranks(rows: Sequence[Tensor]) -> Mistakes:
    """The mistakes of all batches of all ranks, in the order of the data set. All ranks call this."""
    whole = distributed.gather_rows(torch.cat([torch.zeros(0, 4, dtype=torch.float64), *rows]))
    whole = whole[whole[:, 0].argsort(stable=True)]
    return Mistakes(*(whole[:, k].long() for k in range(3)), whole[:, 3])
