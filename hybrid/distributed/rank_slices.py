"""Which images of a step's batch a rank takes: the batch is one and the same for any number of ranks."""

from __future__ import annotations

from typing import NamedTuple

from hybrid.errors import UserError


class Share(NamedTuple):
    """One rank's part of one step: `sizes` images in each of the micro-batches (some may be 0), of `total` on all ranks."""

    total: int
    sizes: list[int]


class Shares(NamedTuple):
    """Rank `rank` of `ranks`, in steps of `parts` micro-batches.

    A batch is first cut into micro-batches, as one rank would cut it, and each of these into the ranks' slices: so
    micro-batch k of all ranks together is micro-batch k of one rank, which is what synchronised batch norm sees.
    """

    rank: int = 0
    ranks: int = 1
    parts: int = 1

    def rows(self, total: int) -> list[slice]:
        """This rank's rows of a batch of `total` images, one slice for each micro-batch; the first ranks take what is over."""
        size = -(-total // self.parts)
        slices = []
        for start in range(0, total, size):
            count = min(size, total - start)
            bounds = [start + -(-count * rank // self.ranks) for rank in (self.rank, self.rank + 1)]
            slices.append(slice(*bounds))
        return slices

    def of(self, total: int) -> Share:
        """This rank's share of a batch of `total` images."""
        return Share(total, [rows.stop - rows.start for rows in self.rows(total)])

    def check(self, batch_size: int, *, path: str) -> None:
        """UserError, naming the nearest batch sizes that can be, unless all ranks' micro-batches have the same size.

        One rank alone takes any size: its last micro-batch is smaller then.
        """
        unit = self.ranks * self.parts
        if self.ranks == 1 or batch_size % unit == 0:
            return
        below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
        nearest = " and ".join(str(size) for size in (below, above) if size)
        cut = f"{self.ranks} ranks" + (f" times {self.parts} micro-batches" if self.parts > 1 else "")
        raise UserError(
            f"{path}={batch_size} cannot be divided evenly by {cut}. The nearest sizes that can: {nearest}."
        )


ALONE = Shares()
