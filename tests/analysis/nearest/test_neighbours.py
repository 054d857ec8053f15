"""nearest_neighbours is brute force in float64, whatever the features."""

from __future__ import annotations

import re
import weakref

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hybrid.analysis.nearest import compiled_search, exact_search, nearest_neighbours, nearest_of_another_class
from hybrid.analysis.nearest.rounding import Frame, square_roots, squared_distances, underflow_error
from hybrid.analysis.nearest.smallest import smallest


@pytest.fixture(params=["float32", "bfloat16", "torch"])
def engine(request, monkeypatch):
    """The ways of the search: compiled, with products of either precision, or torch's."""
    kernel = compiled_search.kernel()
    if request.param == "torch":
        monkeypatch.setattr(compiled_search, "kernel", lambda: None)
    elif kernel is None or (request.param == "bfloat16" and not kernel.has_halves):
        pytest.skip("needs a C++ compiler, and a CPU that multiplies numbers of this type")
    if request.param == "bfloat16":
        monkeypatch.setattr(compiled_search, "_HALVES_FROM", (1, 1))
        monkeypatch.setattr(compiled_search, "_PROVEN", 0)
    return request.param


def brute(points, k, queries=None):
    """Distances and indices by differences in float64, sorted by (distance, index)."""
    others = points.double()
    rows = others if queries is None else queries.double()
    distances = square_roots(torch.stack([(others - row).square().sum(1) for row in rows]))
    if queries is None:
        distances.fill_diagonal_(torch.inf)
    distances, indices = distances.sort(dim=1, stable=True)
    return distances[:, :k], indices[:, :k]


def features(kind, samples=500):
    noise = torch.randn(samples, 12)
    centres = torch.randn(10, 12)[torch.arange(samples) % 10]
    return {
        "generic": noise,
        "offset": noise + 1e4,  # cancellation: float32 keeps 3 digits of the differences
        "offset of a million": noise + 1e6,
        "float64 offset": noise.double() + 1e9,
        "tight clusters": centres + 1e-4 * noise,
        "outliers": torch.cat([1e-3 * noise[:-20], 1e5 * noise[-20:]]),
        "one outlier": torch.cat([noise[:-1], torch.full((1, 12), 1e30)]),
        "columns": torch.randn(12, samples).T,
        "ties": torch.randint(0, 3, (samples, 4)).float(),
        "binary": torch.randint(0, 2, (samples, 10)).float(),
        "duplicates": noise[:20].repeat(samples // 20, 1),
        "all equal": torch.full((samples, 3), 0.1),
        "one coordinate": noise[:, :1],
        "bfloat16": noise.bfloat16(),
        "huge": noise.double() * 1e120,
        "tiny": noise * 1e-30,
        "maps": noise.view(samples, 3, 2, 2),
    }[kind]


KINDS = [
    "generic",
    "offset",
    "offset of a million",
    "float64 offset",
    "tight clusters",
    "outliers",
    "one outlier",
    "columns",
    "ties",
    "binary",
    "duplicates",
    "all equal",
    "one coordinate",
    "bfloat16",
    "huge",
    "tiny",
    "maps",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 31])
def test_brute_force(kind, k, engine):
    values = features(kind)
    before = values.clone()
    for queries in (None, values[::5] + 0):
        distances, indices = nearest_neighbours(values, k, queries=queries)
        wanted, places = brute(values.flatten(1), k, None if queries is None else queries.flatten(1))
        assert distances.dtype == torch.float64 and indices.dtype == torch.int64
        torch.testing.assert_close(distances, wanted, rtol=1e-15, atol=0)
        assert torch.equal(indices, places)
    assert torch.equal(values, before)


@pytest.mark.parametrize("kind", ["generic", "tight clusters", "ties", "all equal"])
def test_any_memory_gives_the_same(kind):
    values = features(kind)
    wanted = nearest_neighbours(values, 31)
    for memory in (200_000, 1_000_000):
        distances, indices = nearest_neighbours(values, 31, memory_bytes=memory)
        assert torch.equal(distances, wanted.distances) and torch.equal(indices, wanted.indices)


def test_few_neighbours_can_be_all():
    values = torch.randn(6, 3)
    assert torch.equal(nearest_neighbours(values, 5).indices, brute(values, 5)[1])
    assert torch.equal(nearest_neighbours(values, 6, queries=values[:1]).indices, brute(values, 6, values[:1])[1])
    assert nearest_neighbours(values[:2], 1).indices.tolist() == [[1], [0]]


def test_ordinary_rows_need_no_second_pass(monkeypatch):
    monkeypatch.setattr(exact_search.Search, "_second_pass", None)
    nearest_neighbours(features("generic"), 31)
    with pytest.raises(TypeError):  # while these cannot be proven from float32 products
        nearest_neighbours(features("tight clusters"), 31)


def test_scikit_learn():
    values = torch.randn(700, 40)
    model = NearestNeighbors(n_neighbors=31, algorithm="brute").fit(values.double().numpy())
    distances, indices = (torch.from_numpy(array) for array in model.kneighbors())
    ours = nearest_neighbours(values, 31)
    torch.testing.assert_close(ours.distances, distances)
    assert torch.equal(ours.indices, indices)


def test_scikit_learn_on_digits():
    """Whole numbers: many ties, which scikit-learn orders otherwise, at the same distances."""
    from sklearn.datasets import load_digits

    values = torch.from_numpy(load_digits().data)
    distances, _ = NearestNeighbors(n_neighbors=31, algorithm="brute").fit(values.numpy()).kneighbors()
    ours = nearest_neighbours(values.float(), 31)
    torch.testing.assert_close(ours.distances, torch.from_numpy(distances), rtol=1e-12, atol=0)
    assert torch.equal(ours.indices, brute(values, 31)[1])


def test_invariances():
    values = torch.randn(400, 8, dtype=torch.float64)
    ours = nearest_neighbours(values, 10)
    scaled = nearest_neighbours(values * 0.125, 10)
    assert torch.equal(scaled.indices, ours.indices) and torch.equal(scaled.distances, ours.distances / 8)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    turned = nearest_neighbours(values @ rotation + 3, 10)
    assert torch.equal(turned.indices, ours.indices)
    torch.testing.assert_close(turned.distances, ours.distances)
    order = torch.randperm(400)
    shuffled = nearest_neighbours(values[order], 10)
    assert torch.equal(order[shuffled.indices], ours.indices[order])
    assert torch.equal(shuffled.distances, ours.distances[order])


def test_distances_are_symmetric_bit_for_bit():
    values = torch.randn(50, 37)
    distances, indices = nearest_neighbours(values, 49)
    matrix = torch.zeros(50, 50, dtype=torch.float64).scatter_(1, indices, distances)
    assert torch.equal(matrix, matrix.T)


def test_reduced_precision_of_training_has_no_effect():
    values = features("generic")
    wanted = nearest_neighbours(values, 31)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            ours = nearest_neighbours(values.requires_grad_(), 31)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(ours.indices, wanted.indices) and not ours.distances.requires_grad


@pytest.mark.parametrize("kind", ["generic", "offset", "ties", "duplicates", "all equal", "maps"])
def test_the_nearest_of_another_class(kind):
    values, labels = features(kind), torch.arange(500) % 7 * 3
    samples = torch.randperm(500)[:60]
    wanted = torch.stack([
        (values.double()[labels != labels[sample]] - values.double()[sample]).flatten(1).square().sum(1).sqrt().min()
        for sample in samples.tolist()
    ])  # fmt: skip
    found = nearest_of_another_class(values, labels, samples)
    torch.testing.assert_close(found, wanted, rtol=1e-15, atol=0)


class Live(TorchDispatchMode):
    """The largest number of bytes in tensors alive at once."""

    def __init__(self):
        super().__init__()
        self.seen, self.now, self.peak = set(), 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.seen:
                storage = tensor.untyped_storage()
                self.seen.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.free, storage._cdata, storage.nbytes())
        return result

    def free(self, key, size):
        self.seen.discard(key)
        self.now -= size


@pytest.mark.parametrize(("kind", "dimension"), [("generic", 16), ("all equal", 16), ("generic", 2000)])
def test_memory_is_bounded(kind, dimension):
    samples, memory = (2000, 1_000_000) if dimension == 16 else (200, 4_000_000)
    values = torch.randn(samples, dimension) if kind == "generic" else torch.ones(samples, dimension)
    with Live() as live:
        table = nearest_neighbours(values, 5, memory_bytes=memory)
    results = sum(tensor.nbytes for tensor in table)
    assert memory / 8 < live.peak < memory + 4 * results


def test_smallest_is_exact():
    values = torch.randint(0, 500, (40, 5003)).float()
    best, columns = smallest(values, 20)
    assert torch.equal(best.sort(1).values, values.sort(1).values[:, :20])
    assert torch.equal(values.gather(1, columns), best) and all(len(row.unique()) == 20 for row in columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.randn(5, 2), 5), "k=5 is not valid: each of 5 samples has 4 other samples"),
        ((torch.randn(5, 2), 0), "k=0 is not valid"),
        ((torch.tensor([[0.0], [torch.nan], [1]]), 1), "finite"),
        ((torch.tensor([[0.0], [torch.inf], [1]]), 1), "finite"),
        ((torch.ones(3, 2, dtype=torch.int64), 1), "floating-point"),
        ((torch.randn(3), 1), "floating-point"),
        ((torch.randn(3, 0), 1), "floating-point"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(*arguments)


def test_mistakes_of_queries_and_memory():
    values = torch.randn(50, 2)
    with pytest.raises(ValueError, match="finite"):
        nearest_neighbours(values, 1, queries=torch.tensor([[0.0, 0.0], [torch.nan, 0.0]]))
    with pytest.raises(ValueError, match="have the 2 coordinates"):
        nearest_neighbours(values, 1, queries=torch.randn(4, 3))
    with pytest.raises(ValueError, match="memory_bytes=1000 is too little: 50 points of 2 features need at least"):
        nearest_neighbours(values, 1, memory_bytes=1000)


def test_nobody_reaches_behind_the_door(root):
    inside = re.compile(r"hybrid\.analysis\.nearest\.\w+|analysis\.nearest import .*(exact_search|rounding|smallest)")
    files = [*(root / "hybrid").rglob("*.py"), *(root / "scripts").rglob("*.py")]
    others = [file for file in files if (root / "hybrid" / "analysis" / "nearest") not in file.parents]
    assert others and not [file for file in others if inside.search(file.read_text())]


@pytest.mark.parametrize(("samples", "dimension"), [(1, 3), (48, 1), (97, 40), (530, 7), (1000, 300)])
def test_both_ways_are_equal_bit_for_bit(samples, dimension, monkeypatch):
    """Sizes that fill panels of 24 or 48 points, and that do not; blocks with and without a partner; sets of two types."""
    points, queries = torch.randn(samples, dimension).double(), torch.randn(60, dimension).bfloat16()
    k, threads = min(samples, 31), torch.get_num_threads()

    def tables():
        yield nearest_neighbours(points, k, queries=queries)
        if samples > 1:
            yield nearest_neighbours(points.float(), k - 1 or 1)
            yield nearest_neighbours(points, k - 1 or 1, memory_bytes=3_000_000)

    try:
        torch.set_num_threads(3)
        compiled = list(tables())
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(compiled_search, "kernel", lambda: None)
    for ours, theirs in zip(compiled, tables(), strict=True):
        assert torch.equal(ours.distances, theirs.distances) and torch.equal(ours.indices, theirs.indices)


@pytest.mark.parametrize(
    "kind", ["generic", "offset", "tight clusters", "outliers", "one outlier", "all equal", "wide"]
)
@pytest.mark.parametrize("halves", [False, True])
def test_no_score_is_below_the_true_one(kind, halves):
    kernel = compiled_search.kernel()
    if kernel is None or (halves and not kernel.has_halves):
        pytest.skip("needs a C++ compiler, and a CPU that multiplies numbers of this type")
    points = torch.randn(500, 151) if kind == "wide" else features(kind)
    frame = Frame.of(points, rows=100)
    side = kernel._side(points, frame, halves=halves)
    found = compiled_search._Candidates.of(-(-500 // kernel.panel) * kernel.panel, 500, None)
    kernel._search_itself(side, found)
    scores, places, kept = found.tensors[:3]
    assert kept[:500].eq(500).all()  # every point is a candidate of every point
    exact = squared_distances(points[:, None], points[None]) * frame.scale**2
    scores = torch.empty(500, 500).scatter_(1, places[:500, :500].long(), scores[:500, :500])
    errors = scores.double() + exact / 2
    assert errors.min() > -underflow_error(points.shape[1], torch.float32)
    assert errors.max() <= (0.02 if halves else 1e-4) * side.tensors[2].max()


def test_bfloat16_is_left_where_it_proves_too_little(monkeypatch):
    kernel = compiled_search.kernel()
    if kernel is None or not kernel.has_halves:
        pytest.skip("needs a CPU that multiplies numbers of this type")
    monkeypatch.setattr(compiled_search, "_HALVES_FROM", (500, 12))
    taken = []
    side = compiled_search.Kernel._side
    monkeypatch.setattr(compiled_search.Kernel, "_side", lambda *a, **k: taken.append(k.get("halves")) or side(*a, **k))
    nearest_neighbours(torch.randn(500, 12), 5)
    assert taken == [True, True]  # the points, and the sample
    taken.clear()
    nearest_neighbours(features("tight clusters"), 5)
    assert taken == [True, True, None]


@pytest.fixture
def _unknown():
    compiled_search.checked_kernel.cache_clear()
    yield
    compiled_search.checked_kernel.cache_clear()


@pytest.mark.usefixtures("_unknown")
def test_a_wrong_library_is_not_used(monkeypatch, tmp_path, caplog):
    nearest = compiled_search.Kernel._nearest
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled_search.Kernel, "_nearest", lambda *a: (nearest(*a)[0] + 1e-9, *nearest(*a)[1:]))
    assert compiled_search.kernel() is None
    assert "the compiled search finds other neighbours" in caplog.text


@pytest.mark.usefixtures("_unknown")
def test_without_a_compiler_torch_searches(monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    values = features("generic")
    assert torch.equal(nearest_neighbours(values, 3).indices, brute(values, 3)[1])
    assert "nearest neighbours by torch" in caplog.text and "no C++ compiler found" in caplog.text
