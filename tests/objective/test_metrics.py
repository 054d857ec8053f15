"""Metrics of an evaluation: against their definitions, and refused before training where they say nothing."""

from __future__ import annotations

import math

import pytest
import torch

from hybrid.errors import UserError
from hybrid.objective.metrics import check_metric, known, names_for, read_metrics

GENERATOR = torch.Generator().manual_seed(3)
LOGITS = torch.randn(300, 4, generator=GENERATOR)
CLASSES = torch.randint(0, 3, (300,), generator=GENERATOR)  # the fourth class has no image
LABELS = (torch.randn(300, 4, generator=GENERATOR) + LOGITS > 0.5).float()
NAMES = ("a", "b", "c", "d")


def of(name, outputs=LOGITS, labels=CLASSES):
    return known(name).numbers(outputs, labels, NAMES)


def recalls():
    return [(LOGITS.argmax(1)[c == CLASSES] == c).double().mean().item() for c in range(3)]


def test_balanced_accuracy_is_the_mean_over_the_classes_that_have_images():
    assert of("balanced_accuracy") == {"balanced_accuracy": pytest.approx(100 * sum(recalls()) / 3)}
    each = of("per_class")
    assert list(each) == ["per_class/a", "per_class/b", "per_class/c", "per_class/d"]
    assert list(each.values())[:3] == pytest.approx([100 * share for share in recalls()])
    assert math.isnan(each["per_class/d"])


def test_f1_is_the_mean_of_the_harmonic_means():
    predicted, values = LOGITS.argmax(1), []
    for c, recall in enumerate(recalls()):
        precision = (CLASSES[predicted == c] == c).double().mean().item()
        values.append(2 * precision * recall / (precision + recall))
    assert of("f1")["f1"] == pytest.approx(sum(values) / 3)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    values = []
    for label in range(4):
        with_it, without = LOGITS[LABELS[:, label] == 1, label], LOGITS[LABELS[:, label] == 0, label]
        values.append((with_it[:, None] > without).double().mean().item())
    assert of("auc", labels=LABELS)["auc"] == pytest.approx(sum(values) / 4)
    assert 0.5 < of("average_precision", labels=LABELS)["average_precision"] < 1
    assert 0.4 < of("auc")["auc"] < 0.6  # chance, of the three classes that have images
    assert math.isnan(of("auc", labels=torch.zeros(300, dtype=torch.int64))["auc"])  # a single class says nothing


def test_a_network_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    sure = torch.tensor([[0.0, 1.0]]).expand(1000, 2) * math.log(3)  # probabilities 0.25 and 0.75
    labels = (torch.arange(1000) % 4 != 0).long()
    assert of("calibration_error", sure, labels)["calibration_error"] == pytest.approx(0, abs=1e-5)
    assert of("calibration_error", sure, torch.ones(1000).long())["calibration_error"] == pytest.approx(25)
    assert of("calibration_error", 100 * sure, labels)["calibration_error"] == pytest.approx(25)


def test_of_values_and_labels():
    labels = torch.tensor([[1.0], [2.0], [6.0]])
    outputs = labels + torch.tensor([[1.0], [-1.0], [2.0]])
    assert of("mean_absolute_error", outputs, labels)["mean_absolute_error"] == pytest.approx(4 / 3)
    assert of("root_mean_squared_error", outputs, labels)["root_mean_squared_error"] == pytest.approx(2**0.5)
    assert of("r2", outputs, labels)["r2"] == pytest.approx(1 - 6 / 14)
    assert math.isnan(of("r2", outputs[:1], labels[:1])["r2"])
    exact = ((LOGITS > 0) == LABELS.bool()).all(1).double().mean().item()
    assert of("exact_match", labels=LABELS)["exact_match"] == pytest.approx(100 * exact)


def test_less_is_better_of_errors_alone():
    lower = [name for task in ("classification", "multilabel", "regression") for name in names_for(task, 10)
             if not known(name).higher_is_better]  # fmt: skip
    assert lower == ["calibration_error", "mean_absolute_error", "root_mean_squared_error"]


def test_metrics_of_ones_own():
    own = ["fixtures.tasks.cost", {"_target_": "fixtures.tasks.Miss", "miss": 3.0}, "torch.nn.CrossEntropyLoss"]
    cost, miss, entropy = metrics = read_metrics(own)
    known_labels = {"task": "classification", "outputs": 4, "labels": CLASSES, "names": NAMES}
    names = [check_metric(metric, **known_labels) for metric in metrics]
    assert names == [["cost"], ["miss/mean", "miss/most"], ["cross_entropy_loss"]]
    assert not cost.higher_is_better and miss.higher_is_better and entropy.own
    wrong = (LOGITS.argmax(1) != CLASSES).double().mean().item()
    assert miss.numbers(LOGITS, CLASSES, NAMES) == {"miss/mean": pytest.approx(3 * wrong), "miss/most": 3.0}


def test_the_classes_of_torchmetrics_are_metrics():
    torchmetrics = pytest.importorskip("torchmetrics")
    target = {"_target_": "torchmetrics.classification.MulticlassMatthewsCorrCoef", "num_classes": 4}
    (metric,) = read_metrics([target])
    first = metric.numbers(LOGITS, CLASSES, NAMES)
    assert metric.numbers(LOGITS, CLASSES, NAMES) == first  # it keeps nothing of the evaluation before
    expected = torchmetrics.functional.classification.multiclass_matthews_corrcoef(LOGITS, CLASSES, num_classes=4)
    assert first == {"multiclass_matthews_corr_coef": pytest.approx(expected.item())}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["balanced"], "unknown metric: balanced. Did you mean balanced_accuracy"),
        (["f1", "f1"], "f1 is given twice"),
        ("f1", "it is a list"),
        ([3], r"metrics\[0\]=3 is not valid"),
        (["fixtures.tasks.nothing"], r"metrics\[0\]._target_=fixtures.tasks.nothing cannot be imported"),
        ([{"_target_": "fixtures.tasks.Miss"}], r"metrics\[0\].miss is missing"),
        (["fixtures.tasks.Miss"], r"metrics\[0\].miss is missing"),
    ],
    ids=["unknown", "twice", "text", "number", "import", "argument", "class"],
)
def test_a_mistake_is_one_line(entries, words):
    with pytest.raises(UserError, match=words):
        read_metrics(entries)


@pytest.mark.parametrize(
    ("entry", "task", "outputs", "words"),
    [
        ("r2", "classification", 4, "does not fit the data, which are for classification. Valid here: balanced_accuracy"),
        ("balanced_accuracy", "regression", 1, "Valid here: mean_absolute_error, root_mean_squared_error, r2"),
        ("top5", "classification", 5, "top5 says nothing with 5 classes"),
        ("fixtures.tasks.cost", "multilabel", 4, "cost fails on outputs .32, 4. and labels .32, 4.: RuntimeError"),
    ],
    ids=["values", "classes", "top5", "own"],
)  # fmt: skip
def test_a_metric_that_does_not_fit_is_refused(entry, task, outputs, words):
    labels = LABELS[:, :outputs] if task != "classification" else CLASSES
    (metric,) = read_metrics([entry])
    with pytest.raises(UserError, match=words):
        check_metric(metric, task=task, outputs=outputs, labels=labels, names=NAMES[:outputs])
