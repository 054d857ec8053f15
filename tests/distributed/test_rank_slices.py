"""The ranks' parts of a batch: together they are the batch of one rank, image by image and bit by bit."""

from __future__ import annotations

import pytest
import torch

from hybrid.distributed.rank_slices import Shares
from hybrid.errors import UserError

AUGMENTATIONS = {
    "everything": {"pad": 2, "flip": 0.5, "cutout": 6, "policy": "trivialaugment", "mixup": 0.5, "cutmix": 0.5},
    "mixup": {"mixup": 0.4},
    "none": {},
}


def train_batches(data, shares, *, batch_size, start=0):
    return list(data.loader("train", batch_size=batch_size, train=True, shares=shares).epoch(3, start=start))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("kind", ["make_cifar10", "make_folder"])
@pytest.mark.parametrize(("ranks", "parts"), [(2, 1), (3, 1), (2, 2), (5, 2)])
def test_ranks_see_the_very_batches_of_one(request, kind, name, ranks, parts):
    data = request.getfixturevalue(kind)(augmentation=AUGMENTATIONS[name])
    size = 10 if kind == "make_cifar10" else 5  # 100 and 24 images: the folder's last batch has 4
    whole = train_batches(data, Shares(parts=parts), batch_size=size + 1)
    divided = [train_batches(data, Shares(rank, ranks, parts), batch_size=size + 1) for rank in range(ranks)]
    for step, batch in enumerate(whole):
        shares = [Shares(rank, ranks, parts) for rank in range(ranks)]
        rows = torch.cat([torch.arange(part.start, part.stop) for s in shares for part in s.rows(len(batch.labels))])
        assert sorted(rows.tolist()) == list(range(len(batch.labels)))
        for field, expected in enumerate(batch):
            got = torch.cat([batches[step][field] for batches in divided])
            assert torch.equal(got, expected[rows]), batch._fields[field]


def test_a_micro_batch_of_all_ranks_is_that_of_one_rank():
    for total in range(1, 40):
        for parts in range(1, min(total, 6) + 1):
            one = Shares(parts=parts).rows(total)
            assert [len(chunk) for chunk in torch.arange(total).chunk(parts)] == Shares(parts=parts).of(total).sizes
            for ranks in (2, 3, 7):
                every = [Shares(rank, ranks, parts).rows(total) for rank in range(ranks)]
                for number, micro in enumerate(one):
                    pieces = [rows[number] for rows in every]
                    assert pieces[0].start == micro.start and pieces[-1].stop == micro.stop
                    assert all(a.stop == b.start for a, b in zip(pieces, pieces[1:], strict=False))
                    sizes = [piece.stop - piece.start for piece in pieces]
                    assert max(sizes) - min(sizes) <= 1 and sizes[0] == max(sizes)


def test_a_rank_without_images_gets_an_empty_batch(make_cifar10, make_folder):
    for data, size in ((make_cifar10(augmentation=AUGMENTATIONS["everything"]), 99), (make_folder(), 23)):
        first, second = (train_batches(data, Shares(rank, 2), batch_size=size)[-1] for rank in (0, 1))
        assert len(first.labels) == 1 and len(second.labels) == len(second.targets) == 0
        assert second.images.shape == (0, *data.image_shape)


def test_a_later_start_gives_the_same_share(make_cifar10):
    data = make_cifar10(augmentation=AUGMENTATIONS["everything"])
    whole = train_batches(data, Shares(1, 2), batch_size=12)
    for one, other in zip(whole[3:], train_batches(data, Shares(1, 2), batch_size=12, start=3), strict=True):
        assert torch.equal(one.images, other.images)


def test_only_what_a_rank_needs_is_decoded(make_folder, monkeypatch):
    from hybrid.data.folder import Folder

    opened = []
    original = Folder.open_image
    monkeypatch.setattr(Folder, "open_image", lambda self, path: opened.append(path) or original(self, path))
    train_batches(make_folder(), Shares(1, 3), batch_size=6)
    assert len(opened) == 8
    opened.clear()
    train_batches(make_folder(augmentation=AUGMENTATIONS["mixup"]), Shares(1, 3), batch_size=6)
    assert 8 < len(opened) <= 16  # its own, and those that they are mixed with


def test_a_batch_that_cannot_be_divided_names_the_nearest_sizes():
    Shares(0, 4, 2).check(128, path="trainer.batch_size")
    Shares(0, 1, 7).check(40, path="trainer.batch_size")
    with pytest.raises(UserError, match=r"trainer.batch_size=100 .* 8 ranks times 2 micro-batches.*: 96 and 112\."):
        Shares(0, 8, 2).check(100, path="trainer.batch_size")
    with pytest.raises(UserError, match=r"by 8 ranks\. The nearest sizes that can: 8\."):
        Shares(0, 8, 1).check(5, path="trainer.batch_size")
