"""One data set in several random divisions: every image once, and which of them train and test in each division."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.data import Data
from hybrid.data.checks import turned_copies
from hybrid.data.stored import Split, joined
from hybrid.errors import UserError

_log = logging.getLogger(__name__)
_PARTS = ("train", "test")
_Key = tuple[int, int]  # of an image: the list of files that it is in, and its position there


@dataclass(frozen=True)
class Division:
    """Positions in the images of `Divided.images`: (n,) of those that train, and (m,) of those that test."""

    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Divided:
    """The images of all divisions, each once, as the split "train" of `images`, in the order of the data set's files."""

    images: Data
    labels: Tensor
    divisions: Sequence[Division]

    def warn_of_turned_copies(self) -> None:
        """Say in a line where an image that trains is a turned copy of one that tests, among files of a user's own."""
        images = self.images.splits["train"]
        pairs = turned_copies(self.images, images)
        apart = [pair for pair in pairs if any(_is_apart(pair, division) for division in self.divisions)]
        if apart:
            first, second = (images.paths[position] for position in apart[0])
            _log.warning(
                "%s: %d pairs of images that train and test are turned copies of each other (%s and %s): the accuracy of "
                "features that do not change with rotations is too high for that",
                self.images.name, len(apart), first, second,
            )  # fmt: skip


def _is_apart(pair: tuple[int, int], division: Division) -> bool:
    """Whether one of two images trains, and the other tests."""
    trains, tests = ({*pair} & {*part.tolist()} for part in (division.train, division.test))
    return bool(trains and tests)


def divide(data: Data, count: int) -> Divided:
    """The divisions number 0 … count - 1 of a data set: number k is that of data.split_seed + k and seed + k.

    Raises UserError where all divisions would be the same.
    """
    every = [data.redrawn(number) for number in range(count)]
    if count > 1 and all(torch.equal(every[0].splits[name].indices, every[1].splits[name].indices) for name in _PARTS):
        raise UserError(
            f"splits={count} has no effect: {data.name} trains and tests on the same images every time. data.per_class=20, "
            "data.test=0.2 and data.subset.n=300 draw images at random."
        )
    shared = data.draws_test
    keys = [{name: _keys(each.splits[name], name, shared) for name in _PARTS} for each in every]
    parts = _new_of_each(
        (each.splits[name], own[name]) for each, own in zip(every, keys, strict=True) for name in _PARTS
    )
    images, found = _as_one(parts)
    rows = {key: row for row, key in enumerate(found)}
    divisions = [Division(*(torch.tensor([rows[key] for key in own[name]]) for name in _PARTS)) for own in keys]
    return Divided(data.holding(images), images.labels, divisions)


def _keys(split: Split, name: str, shared: bool) -> list[_Key]:
    """What tells each image apart. Where test images are drawn, those that train come from the same list of files."""
    of_list = 0 if shared else _PARTS.index(name)
    return [(of_list, index) for index in split.indices.tolist()]


def _new_of_each(parts: Iterable[tuple[Split, list[_Key]]]) -> list[tuple[Split, list[_Key]]]:
    """Of each split the images that no earlier one has."""
    seen: set[_Key] = set()
    kept = []
    for split, keys in parts:
        new = [position for position, key in enumerate(keys) if key not in seen]
        seen.update(keys)
        if new:
            kept.append((split.take(torch.tensor(new)), [keys[position] for position in new]))
    return kept


def _as_one(parts: list[tuple[Split, list[_Key]]]) -> tuple[Split, list[_Key]]:
    """The images of all parts in the order of the files, and what tells each apart."""
    keys = [key for _, own in parts for key in own]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    whole = joined([split for split, _ in parts])
    whole = dataclasses.replace(whole, indices=torch.tensor([index for _, index in keys]))
    return whole.take(torch.tensor(order)), [keys[place] for place in order]
