"""scripts/measure_rotation.py: rotated images change the invariant coefficients least, and the table says so."""

import measure_rotation as program
import numpy as np
import torch

from hybrid import RotoTranslationScattering2D, Scattering2D


def test_a_turn_changes_roto_translation_less_than_translation(tmp_path, capsys):
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = [torch.sin(frequency * rows + columns / 9).add(1) / 2 for frequency in (0.5, 0.8, 1.2, 1.6)]
    images = torch.stack(waves)[:, None]
    plain, turning = Scattering2D(2, (32, 32), 4, engine="torch"), RotoTranslationScattering2D(2, (32, 32), 4)

    def represent(batch):
        return {"translation": program._means(plain, batch), "roto-translation": program._means(turning, batch)}

    changes = program.relative_changes(represent, images, (0.0, 90.0))
    assert all(values.shape == (2, 4) and (values[0] == 0).all() for values in changes.values())
    assert np.median(changes["roto-translation"][1]) < np.median(changes["translation"][1]) / 2
    program.write(tmp_path, (0.0, 90.0), changes)
    assert (tmp_path / "rotation.csv").read_text().startswith("angle,translation,roto-translation\n0,0,0\n90,")
    assert (tmp_path / "rotation.png").stat().st_size > 0 and "are written" in capsys.readouterr().out
