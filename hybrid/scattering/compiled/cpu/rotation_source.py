"""The C++ source of one transform on rotations and translations: that of the translation transform, and the angle."""

from __future__ import annotations

import numpy as np

from hybrid.scattering.compiled.codelets import angular
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT
from hybrid.scattering.compiled.codelets.programs import Kind
from hybrid.scattering.compiled.cpu.source import Layout, text_of, translation_unit
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.rotation.angular import angular_bank
from hybrid.scattering.rotation.parameters import RotationSettings

_NEGLIGIBLE = "1e-9f"  # of the largest gain of the low-pass
_WITH_IMAGES = ("images.cpp", "images_adjoint.cpp", "rotation.cpp", "rotation_images.cpp")
_PASSES: dict[tuple[Layout, Direction], tuple[str, ...]] = {
    ("rows", "forward"): ("rows.cpp", "rows_front.cpp", "rotation.cpp", "rotation_rows.cpp"),
    ("images", "forward"): (*_WITH_IMAGES, "rotation_forward.cpp"),
    ("images", "backward"): (*_WITH_IMAGES, "rotation_backward.cpp"),
}
LARGEST_L = LONGEST_STRAIGHT // 2


def rotation_source(settings: RotationSettings, lanes: int, layout: Layout, direction: Direction) -> str:
    """Return the whole translation unit. The image's size and the spatial filters are data."""
    plane, joint = settings.plane, settings.joint
    period = 2 * plane.L if joint else plane.L
    kinds: tuple[Kind, ...] = ("inverse", "forward", "real")
    constants = {"ANGLES": plane.L, "PERIOD": period, "GROUPS": settings.K + 1, "JOINT": int(joint)}
    return translation_unit(
        plane.padded,
        plane.J,
        lanes,
        layout,
        [angular_codelets(settings), *map(text_of, _PASSES[layout, direction])],
        dropped=plane.dropped,
        constants=constants | {"NEGLIGIBLE": _NEGLIGIBLE},
        more=[(kind, size) for size in {plane.L, period} for kind in kinds],
    )


def angular_codelets(settings: RotationSettings) -> str:
    """`Wave` and `Modulus` of every filter along the angle.

    A wavelet of the separable transform has two waves: the second one has its negative frequencies.
    """
    L, joint = settings.plane.L, settings.joint
    bank = angular_bank(2 * L if joint else L, settings.K)
    phi, psi = bank.phi / len(bank.phi), bank.psi / len(bank.phi)
    if joint:
        gains = np.stack([phi, *psi])
        waves = [angular.of_turning_averages(phi), *map(angular.of_turning_waves, psi)]
    else:
        mirrored = np.roll(psi[:, ::-1], 1, axis=-1)
        gains = np.stack([phi, *(each for pair in zip(psi, mirrored, strict=True) for each in pair)])
        waves = [angular.of_waves(each) for each in gains]
    of_moduli = 2 * psi[:, ::2] if joint else psi
    moduli = [angular.of_moduli(each) for each in of_moduli]
    tables = _table("WAVE_GAINS", gains) + _table("MODULUS_GAINS", of_moduli)
    return tables + angular.print_functions("Wave", waves) + angular.print_functions("Modulus", moduli)


def _table(name: str, gains: np.ndarray) -> str:
    rows = ", ".join("{" + ", ".join(f"{gain:.9e}f" for gain in angular.significant(row)) + "}" for row in gains)
    return f"static constexpr float {name}[{gains.shape[0]}][{gains.shape[1]}] = {{{rows}}};\n"
