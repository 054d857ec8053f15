"""Mistakes: which images, in which order, and what an evaluation and TensorBoard have of them."""

from __future__ import annotations

import torch
from torch import nn

from hybrid.data import Batch
from hybrid.training.evaluation import evaluate
from hybrid.training.mistakes import mistakes_in, of_all_ranks

LOGITS = torch.tensor([[4.0, 0, 0], [0, 3, 0], [2, 0, 0], [0, 0, 5], [1, 0, 0], [0, 1, 0]])
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def test_the_most_confident_come_first_and_pairs_by_their_number():
    indices = torch.arange(10, 16)
    found = of_all_ranks([mistakes_in(LOGITS[k : k + 2], LABELS[k : k + 2], indices[k : k + 2]) for k in (2, 0, 4)])
    assert found.indices.tolist() == [11, 12, 13, 14, 15] and found.predicted.tolist() == [1, 0, 2, 0, 1]
    worst = found.most_confident(2)
    assert worst.indices.tolist() == [13, 11] and worst.labels.tolist() == [1, 0]
    assert worst.probabilities[0] == LOGITS[3].softmax(0).max().double()
    pairs = of_all_ranks([mistakes_in(LOGITS.repeat(2, 1), torch.tensor([1, 0, 1, 1, 1, 2] * 2), torch.arange(12))])
    (count, most), (second, _) = pairs.most_confused(2, 3)
    assert (count, most.labels.tolist(), most.predicted.tolist()) == (6, [1] * 3, [0] * 3) and second == 2
    assert most.indices.tolist() == [0, 6, 2]  # the most confident of them
    assert len(of_all_ranks([])) == 0 and of_all_ranks([]).most_confused(3, 3) == []


def test_an_evaluation_knows_its_mistakes():
    batch = Batch(LOGITS, LABELS, LABELS, torch.arange(6))
    result = evaluate(nn.Identity(), [batch], num_classes=3)
    assert result.mistakes.indices.tolist() == [1, 2, 3, 4, 5] and len(result.mistakes) == 6 - result.confusion.trace()
    assert "mistakes" not in result.numbers()
