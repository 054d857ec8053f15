"""The algorithm as a list of launches: which kernels run, in which order, on which arrays, for any number of images.

Arrays are named. images, coefficients, gradients and of_images come from outside; the others are workspace that all launches
share:

    spectrum, of_spectrum    half spectra of the images; their gradients
    maps                     what a wavelet makes of a spectrum, columns and rows transformed in turn
    second, of_second        half spectra of first-order moduli; their gradients
    kept                     first-order maps before the modulus, for the gradient
    smoothed                 rows after the low-pass, or the gradients of such rows
"""

from __future__ import annotations

from hybrid.scattering.compiled.cuda.launches import Launch, Schedule
from hybrid.scattering.compiled.cuda.memory import first_filter, second_filter, weights_table
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.geometry import Settings
from hybrid.scattering.paths import scattering_paths


def make_schedule(settings: Settings, direction: Direction, group: int) -> Schedule:
    """Return the launches of one direction, with `group` angles of the first order at a time. Fewer need less workspace."""
    writer = _Backward(settings) if direction == "backward" else _Forward(settings)
    writer.write(group)
    return writer.schedule


class _Writer:
    """The steps that both directions have in common."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.schedule = settings, Schedule(settings)
        self.rows, self.columns = settings.output_shape[1:]

    def sides(self, level: int) -> tuple[int, int]:
        height, width = self.settings.padded
        return height >> level, width >> level

    def groups(self, group: int) -> list[tuple[int, int, int]]:
        """(j1, first angle, number of angles)."""
        J, L = self.settings.J, self.settings.L
        return [(j1, theta, min(group, L - theta)) for j1 in range(J) for theta in range(0, L, group)]

    def is_inner(self, j1: int) -> bool:
        """Whether the moduli of this scale go on to order 2."""
        return self.settings.max_order == 2 and j1 < self.settings.J - 1

    def launch(
        self,
        name: str,
        level: int,
        size: int,
        lines: int,
        maps: tuple[int, int] = (1, 1),
        table: tuple[str, int] | None = None,
        numbers: dict[str, int] | None = None,
        **arrays: str,
    ) -> None:
        numbers = numbers or {}
        self.schedule.launches.append(Launch(f"{name}_{level}", size, lines, *maps, arrays, table, numbers))

    def front(self) -> None:
        """images -> spectrum; the low-pass of the images' rows too."""
        height, width = self.sides(0)
        self.reserve_maps(0, 1)
        arrays = {"in": "images", "out": "maps", "also": "smoothed"}
        self.launch("front_rows", 0, width, height, numbers={"keeps": width}, **arrays)
        self.transform_columns(0, 1, "spectrum")

    def reserve_maps(self, level: int, maps: int) -> None:
        height, width = self.sides(level)
        self.schedule.reserve("maps", 2 * height * width * maps)
        self.schedule.reserve("smoothed", height * self.columns * maps)

    def reserve_spectra(self, array: str, level: int, maps: int) -> None:
        height, width = self.sides(level)
        self.schedule.reserve(array, 2 * height * (width // 2 + 1) * maps)

    def transform_columns(self, level: int, maps: int, out: str) -> None:
        """maps with transformed rows -> half spectra; out "maps": whole ones, in place."""
        height, width = self.sides(level)
        columns = width if out == "maps" else width // 2 + 1
        if out != "maps":
            self.reserve_spectra(out, level, maps)
        arrays = {"in": "maps", "out": out}
        self.launch("forward_columns", level, height, columns, (1, maps), numbers={"columns": columns}, **arrays)

    def filter(self, spectra: str, start: int, level: int, maps: tuple[int, int], table: tuple[str, int]) -> None:
        """Half spectra of level `start` -> maps of `level` between their two inverse transforms."""
        height, width = self.sides(level)
        self.reserve_maps(level, maps[0] * maps[1])
        arrays = {"in": spectra, "out": "maps"}
        self.launch("filter_columns", level, height, width, maps, table, {"from": start}, **arrays)

    def first(self, j1: int, theta: int, count: int) -> None:
        self.filter("spectrum", 0, j1, (1, count), ("first", first_filter(self.settings, j1, theta)))

    def second(self, j1: int, j2: int, count: int) -> tuple[int, int]:
        """Returns (outer, inner)."""
        maps = (count, self.settings.L)
        self.filter("second", j1, j2, maps, ("second", second_filter(self.settings, j1, j2)))
        return maps

    def first_channel(self, j1: int, theta: int) -> dict[str, int]:
        return {"channel": 1 + j1 * self.settings.L + theta}

    def second_channel(self, j1: int, theta1: int, j2: int) -> dict[str, int]:
        """Of angle 0 of j2; the next theta1 is channel_step further."""
        J, L = self.settings.J, self.settings.L
        before = len(scattering_paths(J, L, 1)) + sum(L * L * (J - 1 - j) for j in range(j1))
        step = L * (J - 1 - j1)
        return {"channel": before + step * theta1 + L * (j2 - j1 - 1), "channel_step": step}


class _Forward(_Writer):
    def write(self, group: int) -> None:
        self.front()
        self.lowpass(0, (1, 1), {"channel": 0})
        for j1, theta, count in self.groups(group):
            self.first(j1, theta, count)
            self.moduli("inner_rows" if self.is_inner(j1) else "last_rows", j1, (1, count))
            self.lowpass(j1, (1, count), self.first_channel(j1, theta))
            if self.is_inner(j1):
                self.transform_columns(j1, count, "second")
                for j2 in range(j1 + 1, self.settings.J):
                    maps = self.second(j1, j2, count)
                    self.moduli("last_rows", j2, maps)
                    self.lowpass(j2, maps, self.second_channel(j1, theta, j2))

    def moduli(self, name: str, level: int, maps: tuple[int, int]) -> None:
        height, width = self.sides(level)
        self.launch(name, level, width, height, maps, numbers={"keeps": width}, out="maps", also="smoothed")

    def lowpass(self, level: int, maps: tuple[int, int], channel: dict[str, int]) -> None:
        tiles = self.rows * -(-self.columns // min(8, self.columns))
        arrays = {"in": "smoothed", "out": "coefficients"}
        self.launch("lowpass", level, 1, tiles, maps, numbers=channel, **arrays)


class _Backward(_Writer):
    def write(self, group: int) -> None:
        self.front()
        for number, (j1, theta, count) in enumerate(self.groups(group)):
            self.first(j1, theta, count)
            channel = self.first_channel(j1, theta)
            if self.is_inner(j1):
                self.inner(j1, theta, count)
                self.modulus_gradient("inner_rows_gradient", j1, (1, count), channel, {"in": "kept"})
            else:
                self.modulus_gradient("last_rows_gradient", j1, (1, count), channel)
            weights = weights_table(j1), theta
            self.add_filtered("of_spectrum", 0, j1, (1, count), weights, add=number > 0)
        self.end()

    def inner(self, j1: int, theta: int, count: int) -> None:
        """Gradients of the second order -> maps: half rows of the gradient of first-order moduli."""
        height, width = self.sides(j1)
        self.schedule.reserve("kept", 2 * height * width * count)
        arrays = {"out": "maps", "also": "kept"}
        self.launch("inner_rows_kept", j1, width, height, (1, count), numbers={"keeps": width}, **arrays)
        self.transform_columns(j1, count, "second")
        for j2 in range(j1 + 1, self.settings.J):
            maps = self.second(j1, j2, count)
            self.modulus_gradient("last_rows_gradient", j2, maps, self.second_channel(j1, theta, j2))
            weights = weights_table(j1, j2), 0
            self.add_filtered("of_second", j1, j2, maps, weights, add=j2 > j1 + 1)
        self.inverse_columns("of_second", j1, count)

    def spread(self, level: int, maps: tuple[int, int], channel: dict[str, int]) -> None:
        """gradients -> smoothed."""
        height, _ = self.sides(level)
        tiles = height * -(-self.columns // min(8, self.columns))
        self.launch("spread", level, 1, tiles, maps, numbers=channel, **{"in": "gradients", "out": "smoothed"})

    def modulus_gradient(
        self,
        name: str,
        level: int,
        maps: tuple[int, int],
        channel: dict[str, int],
        more: dict[str, str] | None = None,
    ) -> None:
        """Moduli's low-pass and modulus backwards: `maps` become the gradients of wavelets' maps, transformed."""
        height, width = self.sides(level)
        self.spread(level, maps, channel)
        arrays = {"out": "maps", "other": "smoothed", **(more or {})}
        self.launch(name, level, width, height, maps, numbers={"keeps": width if "in" in arrays else 0}, **arrays)
        self.transform_columns(level, maps[0] * maps[1], "maps")

    def add_filtered(
        self, out: str, level: int, start: int, maps: tuple[int, int], table: tuple[str, int], *, add: bool
    ) -> None:
        """maps of level `start` -> gradients of the half spectra of `level`, one for each outer map."""
        height, width = self.sides(level)
        self.reserve_spectra(out, level, maps[0])
        numbers = {"from": start, "filters": maps[1], "columns": self.settings.L, "add": int(add)}
        lines, arrays = height * (width // 2 + 1), {"in": "maps", "out": out}
        self.launch("add_filtered", level, 1, lines, (maps[0], 1), table, numbers, **arrays)

    def inverse_columns(self, spectra: str, level: int, maps: int) -> None:
        height, width = self.sides(level)
        lines, arrays = width // 2 + 1, {"in": spectra, "out": "maps"}
        self.launch("inverse_columns", level, height, lines, (1, maps), **arrays)

    def end(self) -> None:
        """of_spectrum -> of_images."""
        height, width = self.sides(0)
        self.inverse_columns("of_spectrum", 0, 1)
        self.spread(0, (1, 1), {"channel": 0})
        self.launch("image_rows", 0, width, height, numbers={"keeps": width}, out="maps", other="smoothed")
        rows, arrays = self.settings.input_shape[0], {"in": "maps", "out": "of_images"}
        self.launch("image_pixels", 0, 1, rows, table=("positions", 0), **arrays)
