"""Wavelets that are learned, in a run: rates, records, resuming, several ranks, export."""

from __future__ import annotations

import math

import pytest
import torch
from fixtures.training import power_cut

import hybrid
from hybrid.errors import UserError
from hybrid.export.dft_scattering import DftScattering
from hybrid.export.pipeline import Pipeline, for_export
from hybrid.reports.scattering_figures import wavelet_parameters_figure
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.scattering import LearnedScattering2D, TorchScattering2D
from hybrid.training import checkpoint
from hybrid.training.optimizer import parameter_groups
from hybrid.training.run import run

SHAPE = {"image_shape": (1, 16, 16), "num_classes": 3}
LEARNED = ["model/frontend=scattering_learned", "model.frontend.L=2", "optimizer.rates={filters: 5}", "trainer.ema=0.9"]
WIDTH = "frontend.transform.bank.width"


def last(folder):
    return checkpoint.load(folder.checkpoints / "last.pt")


def make(**frontend):
    return hybrid.build_model(
        "scat_linear", frontend={"_target_": "hybrid.models.frontends.LearnedScattering", **frontend}, **SHAPE
    )


@pytest.mark.parametrize("form", ["canonical", "equivariant", "pixelwise"])
def test_filters_have_a_rate_of_their_own_and_do_not_decay(form):
    model = make(form=form)
    filters = {id(p) for p in model.frontend.parameters()}
    for rates, factor in (({}, 1.0), ({"filters": 10.0, "frontend.transform": 2.0}, 10.0), ({"frontend": 0.5}, 0.5)):
        groups = parameter_groups(model, lr=0.1, weight_decay=5e-4, decay="all", rates=rates)
        own = [group for group in groups if {id(p) for p in group["params"]} & filters]
        assert {id(p) for group in own for p in group["params"]} == filters
        assert all(math.isclose(g["lr"], 0.1 * factor) and g["weight_decay"] == 0 for g in own)
        assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_a_tag_that_no_part_has_is_named():
    model = hybrid.build_model("scat_linear", **SHAPE)
    with pytest.raises(UserError, match="unknown part with trainable parameters in optimizer.rates: filters"):
        parameter_groups(model, lr=0.1, weight_decay=0, decay="all", rates={"filters": 2.0})


def test_a_run_learns_records_its_bank_resumes_bit_for_bit_and_is_that_of_two_ranks(train, tiny, ranks, tmp_path):
    whole = train(*LEARNED, root=tmp_path / "whole")
    content = last(whole)
    start = make(L=2, J=2, max_order=1).state_dict()[WIDTH]
    assert not torch.equal(content["model"][WIDTH], start)
    records = [record for record in read_metrics(whole.metrics) if "frontend/frame_max" in record]
    assert [record["step"] for record in records] == [3, 6]
    assert all(
        0 < r["frontend/frame_min"] < r["frontend/frame_max"] and r["frontend/filter_drift"] > 0 for r in records
    )

    with pytest.raises(RuntimeError, match="power"):
        train(*LEARNED, root=tmp_path / "cut", callbacks=[power_cut(3)])
    resumed = last(train(*LEARNED, root=tmp_path / "cut"))
    assert all(torch.equal(value, resumed["model"][name]) for name, value in content["model"].items())

    restored = hybrid.load_run(whole.path).model
    assert not torch.equal(restored.frontend.transform.bank.width, start)

    cfg = tiny(*LEARNED, "trainer.sync_batch_norm=true", root=tmp_path / "two")
    ranks(2, lambda: run(cfg)).results()
    two = last(RunFolder.of(cfg))["model"]
    torch.testing.assert_close(two[WIDTH], content["model"][WIDTH], rtol=1e-3, atol=1e-5)


def test_features_that_change_are_not_kept(tiny):
    cfg = tiny(*LEARNED, "trainer.feature_cache=memory")
    with pytest.raises(UserError, match="not possible: the front-end LearnedScattering learns") as caught:
        run(cfg)
    assert "\n" not in str(caught.value) and not RunFolder.of(cfg).path.exists()


@pytest.mark.parametrize("engine", [TorchScattering2D, DftScattering])
def test_an_exported_program_has_the_filters_that_were_learned(engine):
    model = make(L=4).eval()
    with torch.no_grad():
        model.frontend.transform.bank.width += 0.4
    pipeline = Pipeline(torch.nn.Identity(), model)
    images = torch.rand(2, 1, 16, 16)
    twin = for_export(pipeline, engine=engine)
    assert not list(twin.model.frontend.parameters())
    torch.testing.assert_close(twin(images), pipeline(images), rtol=1e-4, atol=1e-5)
    program = torch.export.export(twin, (images,))
    torch.testing.assert_close(program.module()(images), pipeline(images), rtol=1e-4, atol=1e-5)


def test_the_picture_of_the_parameters_has_a_panel_for_each():
    values = LearnedScattering2D(2, (16, 16), form="equivariant").bank.wavelets()._asdict()
    titles = [axes.get_title() for axes in wavelet_parameters_figure(values).axes]
    assert titles[:4] == ["orientation", "frequency", "width", "slant"]


@pytest.mark.parametrize("head", ["linear", "mlp", "cnn", "resnet", "wide_resnet", "sle"])
def test_it_trains_before_every_head(head):
    model = hybrid.build_model("scat_linear", frontend="scattering_learned", head=head, **SHAPE)
    model(torch.rand(2, 1, 16, 16)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
