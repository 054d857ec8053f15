"""Parameter counts, MACs and depth of the published networks, to the last digit."""

from __future__ import annotations

import pytest
import torch

from hybrid.models import describe

C32, C96, C224, G28 = (3, 32, 32), (3, 96, 96), (3, 224, 224), (1, 28, 28)
K, N4, POOL2 = "model.head.k={}".format, "model.head.n=4", "model.head.pool=2"
AFFINE = "model/normalization=batch_norm_affine"
IMAGENET_BANKS = f"model.head.banks=[octave{',half_octave,half_octave_subsampled' * 5}]"
IMAGENET_WIDTHS = "model.head.widths=[32,64,64,128,256,512,512,512,512,512,256]"
OCTAVES = f"model.head.banks=[octave{',octave' * 5}]"

COUNTS = [
    ("scat_resnet", C224, 1000, [], 12_768_744),
    ("scat_resnet", C224, 1000, ["model.frontend.J=2", "model.head.widths=[256,512]"], 11_828_712),
    ("scat_resnet", C224, 1000, ["model.frontend.J=4", "model.head.widths=[256,512]"], 14_151_144),
    ("scat_resnet", C32, 10, [], 814_986),
    ("scat_resnet", (1, 32, 32), 10, [], 721_674),
    ("scat_wrn", C32, 10, [K(1)], 200_474),
    ("scat_wrn", C32, 10, [K(2)], 728_618),
    ("scat_wrn", C32, 10, [], 10_778_762),
    ("scat_wrn", C32, 10, [K(16)], 42_529_034),
    ("scat_wrn", C32, 10, [K(32)], 168_944_138),
    ("scat_wrn", C32, 10, ["model.frontend.max_order=1"], 10_557_578),
    ("scat_wrn", C32, 10, [K(2), N4, POOL2], 1_471_274),  # kymatio's small-sample example
    ("scat_wrn", C32, 10, [AFFINE, N4, POOL2], 22_597_232),  # the WRN head of parametric scattering
    ("scat_wrn_stl", C96, 10, [], 11_320_586),
    ("scat_wrn_stl", C96, 10, [N4], 23_123_210),
    ("wrn_16_8", C32, 10, [], 10_963_162),
    ("wrn_16_8", C32, 10, [K(2)], 692_122),
    ("wrn_16_8", C32, 10, [K(16)], 43_782_106),
    ("scat_wrn_psn", C32, 10, [], 22_597_232),
    ("wrn_16_8_stl", C96, 10, [], 10_961_370),
    ("scat_resnet_imagenet", C224, 1000, [], 12_768_744),
    ("scat50", C224, 1000, [], 27_850_856),
    ("scat50", C224, 1000, ["model.head.widths=[256,512,1024]"], 107_015_400),
    ("scat_linear", C32, 10, [], 156_016),
    ("scat_linear", G28, 10, [], 81 * 49 * 10 + 10 + 2 * 81),
    ("scat_mlp", C32, 10, [], 16_986_608),
    ("scat_cnn", C32, 10, [], 21_848_048),
    ("scat_sle", C224, 1000, [], 13_480_296),
    ("vgg16", C32, 10, [], 15_254_602),
    ("hierarchical_cnn", C32, 10, [], 102_330),
    ("hierarchical_cnn", C32, 10, ["model.head.factorised=true"], 360_522),
    ("resnet18", C224, 1000, [], 11_689_512),
    ("regular_cnn", C32, 10, ["model.head.width=16"], 28_250),
    ("regular_cnn", C32, 10, [], 111_786),
    ("regular_cnn", C32, 10, ["model.head.width=64"], 444_746),
    ("regular_cnn", C32, 10, ["model.head.width=128"], 1_774_218),
    ("regular_cnn", C32, 10, ["model.head.width=256"], 7_087_370),
    ("regular_cnn", C32, 10, ["model.head.width=512"], 28_330_506),
    ("regular_cnn", C32, 100, ["model.head.width=512"], 28_376_676),
    ("regular_cnn", C32, 10, ["model.head.alpha=0.0", "model.head.dropout=0.0"], 111_786),
    ("phase_collapse", C32, 10, [], 24_459_018),
    ("phase_collapse", C32, 10, ["model.head.skip=false"], 12_251_018),
    ("phase_collapse", C32, 10, ["model.head.projection=real"], 12_251_018),
    ("phase_collapse", C32, 10, ["model.head.projection=real", "model.head.skip=false"], 6_147_018),
    ("phase_collapse", C224, 1000, [IMAGENET_BANKS, IMAGENET_WIDTHS, "model.head.L=8"], 53_495_144),
    (
        "phase_collapse",
        C224,
        1000,
        [IMAGENET_BANKS, IMAGENET_WIDTHS, "model.head.L=8", "model.head.skip=false"],
        29_052_584,
    ),
    ("phase_collapse", C224, 1000, [IMAGENET_BANKS, IMAGENET_WIDTHS], 31_768_424),
    ("phase_collapse_real", C32, 10, [], 196_080),
    ("phase_collapse_real", C32, 10, ["model.head.width=0.25"], 773_600),
    ("phase_collapse_real", C32, 10, ["model.head.width=0.5"], 3_072_960),
    ("phase_collapse_real", C32, 10, ["model.head.width=1.0"], 12_248_960),
    ("separation_concentration", C32, 10, [], 11_275_466),
    ("separation_concentration", C32, 10, ["model.head.concentrate=none", "model.head.atoms=[]"], 5_704_906),
    (
        "separation_concentration",
        C224,
        1000,
        [OCTAVES, "model.head.widths=[64,128,256,512,512,512]", "model.head.atoms=[512,1024,1024,2048,2048,2048]"],
        31_166_632,
    ),
    ("learned_scatternet", C32, 10, [], 330_442),
    ("scattering_tree", C32, 10, [], 104_074),
    ("scattering_tree", G28, 10, ["model.head.width=128"], 39_562),
]


def count(model) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("name", "shape", "classes", "overrides", "expected"), COUNTS)
def test_trainable_parameters(make, name, shape, classes, overrides, expected):
    if name == "resnet18":
        pytest.importorskip("torchvision")
    with torch.device("meta"):  # heads of any width without their memory
        model = make(name, *overrides, shape=shape, classes=classes)
    assert count(model) == expected


def test_configs_and_docs_state_the_count(root):
    docs, stated = (root / "docs/guide/models.md").read_text(), {}
    for name, _, _, overrides, expected in COUNTS:
        if not overrides:
            stated.setdefault(name, expected)
    for name, expected in stated.items():
        assert f"{expected:,} parameters" in (root / f"configs/model/{name}.yaml").read_text(), name
        assert f"{expected:,}" in docs, name


@pytest.mark.parametrize(
    ("name", "shape", "classes", "gmac", "depth"),
    [
        ("scat_wrn", C32, 10, 0.689, 10),
        ("wrn_16_8", C32, 10, 1.548, 14),
        ("scat_wrn_stl", C96, 10, 2.889, 10),
        ("scat_resnet", C224, 1000, 4.670, 10),
        ("wrn_16_8_stl", C96, 10, 3.483, 14),
        ("scat_linear", C32, 10, 0.000, 1),
        ("scat_mlp", C32, 10, 0.017, 3),
        ("vgg16", C32, 10, 0.314, 16),
        ("regular_cnn", C32, 10, 0.050, 14),
        ("phase_collapse_real", C32, 10, 0.011, 9),
        ("separation_concentration", C32, 10, 0.188, 13),
    ],
)
def test_macs_and_depth(make, name, shape, classes, gmac, depth):
    description = describe(make(name, shape=shape, classes=classes))
    assert round(description.macs / 1e9, 3) == gmac
    assert description.depth == depth


@pytest.mark.slow
def test_depth_of_resnet18_leaves_out_its_downsampling(make):
    pytest.importorskip("torchvision")
    description = describe(make("resnet18", shape=C224, classes=1000))
    assert (description.depth, round(description.macs / 1e9, 3)) == (18, 1.814)
