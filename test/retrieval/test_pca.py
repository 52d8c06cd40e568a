"""PCA of descriptors: what its axes are, what whitening does, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.pca import Pca


def vectors(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Vectors around a mean, with a clear order of spread."""
    generator = np.random.default_rng(seed)
    spread = np.geomspace(1, 0.05, min(count, width))
    mixing = np.linalg.qr(generator.standard_normal((width, width)))[0][: len(spread)]
    return (
        generator.standard_normal(width) + generator.standard_normal((count, len(spread))) * spread @ mixing
    )


SHAPES = pytest.mark.parametrize("shape", [(60, 24), (20, 64), (30, 30)])


@SHAPES
def test_axes_and_variances_are_those_of_a_singular_value_decomposition(shape):
    x = vectors(*shape)
    pca = Pca.fit(x, 6)
    _, singular, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert pca.variances == pytest.approx(singular[:6] ** 2 / (len(x) - 1), rel=1e-4)
    assert np.abs((pca.axes * axes[:6].T).sum(axis=0)) == pytest.approx(np.ones(6), abs=1e-4)
    assert pca.axes.T @ pca.axes == pytest.approx(np.eye(6), abs=1e-4)
    assert pca.mean == pytest.approx(x.mean(axis=0), abs=1e-5)
    assert {a.dtype for a in (pca.axes, pca.variances, pca.mean)} == {np.dtype(np.float32)}


def test_few_vectors_and_many_agree_where_both_ways_can_go():
    """Columns of zeros make the Gram matrix the smaller one and change nothing else."""
    x = vectors(30, 24)
    narrow, wide = Pca.fit(x, 8), Pca.fit(np.pad(x, ((0, 0), (0, 20))), 8)
    assert wide.axes[:24] == pytest.approx(narrow.axes, abs=1e-4)
    assert wide.variances == pytest.approx(narrow.variances, rel=1e-4)


@SHAPES
def test_whitening_makes_the_variances_one(shape):
    x = vectors(*shape)
    weight, bias = Pca.fit(x, 6).layer()
    assert weight.shape == (6, shape[1], 1, 1) and weight.flags.c_contiguous
    reduced = x @ weight[:, :, 0, 0].T + bias
    assert np.cov(reduced.T) == pytest.approx(np.eye(6), abs=1e-3)
    plain, offset = Pca.fit(x, 6).layer(whiten=False)
    reduced = x @ plain[:, :, 0, 0].T + offset
    assert reduced.var(axis=0, ddof=1) == pytest.approx(Pca.fit(x, 6).variances, rel=1e-3)


@pytest.mark.parametrize("whiten", [True, False])
def test_what_comes_out_has_norm_one(whiten):
    pca = Pca.fit(vectors(60, 24), 6)
    out = pca.apply(vectors(5, 24, seed=1), whiten)
    assert out.shape == (5, pca.dimension)
    assert np.linalg.norm(out, axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_the_mean_itself_gives_no_direction():
    pca = Pca.fit(vectors(60, 24) - vectors(60, 24).mean(axis=0), 6)
    assert np.isfinite(pca.apply(np.zeros((1, 24)))).all()


def test_the_order_of_the_vectors_does_not_count():
    x = vectors(60, 24)
    assert Pca.fit(x[::-1], 6).axes == pytest.approx(Pca.fit(x, 6).axes, abs=1e-4), "signs too"


def test_the_largest_variance_is_first_whatever_the_number_of_axes():
    x = vectors(40, 12)
    assert (np.diff(Pca.fit(x, 12).variances) < 0).all()
    assert (np.diff(Pca.fit(x, 11, compat=True).variances) < 0).all()
    ascending = Pca.fit(x, 12, compat=True)
    assert (np.diff(ascending.variances) > 0).all()
    assert ascending.axes[:, ::-1] == pytest.approx(Pca.fit(x, 12).axes, abs=1e-5)
    rows = vectors(5, 12, seed=1)
    assert ascending.apply(rows)[:, ::-1] == pytest.approx(Pca.fit(x, 12).apply(rows), abs=1e-4)


@pytest.mark.parametrize(("count", "width", "dimension"), [(8, 24, 8), (1, 24, 1), (60, 24, 25), (60, 24, 0)])
def test_too_few_vectors_are_refused(count, width, dimension):
    with pytest.raises(ConfigurationError, match=r"expected .* vectors of .* got"):
        Pca.fit(vectors(count, width), dimension)


def test_as_many_vectors_as_axes_only_with_compat():
    """Less their mean, 8 vectors spread along 7 axes: the eighth is noise that whitening blows up."""
    pca = Pca.fit(vectors(8, 24), 8, compat=True)
    assert pca.variances.min() == pytest.approx(1e-9)


def test_vectors_that_repeat_are_refused_and_say_what_is_possible():
    x = np.repeat(vectors(5, 24), 10, axis=0)
    with pytest.raises(ConfigurationError, match="at most 4"):
        Pca.fit(x, 8)
    assert Pca.fit(x, 4).dimension == 4
    assert Pca.fit(x, 8, compat=True).dimension == 8


@pytest.mark.parametrize("bad", [np.full((30, 8), np.nan), np.zeros(8), np.zeros((30, 8))])
def test_broken_vectors_are_refused(bad):
    with pytest.raises(ConfigurationError, match="expected"):
        Pca.fit(bad, 4)


def test_descriptors_of_another_size_are_refused():
    with pytest.raises(ConfigurationError, match=r"expected vectors \(N, 24\), got \(5, 12\)"):
        Pca.fit(vectors(60, 24), 6).apply(np.zeros((5, 12)))


def test_published_arrays_come_back_the_same():
    pca = Pca.fit(vectors(20, 64), 6)
    arrays = pca.to_published()
    assert {name: a.shape for name, a in arrays.items()} == {
        "U": (64, 6), "lams": (6,), "mu": (64, 1), "Utmu": (6, 1),
    }  # fmt: skip
    again = Pca.from_published(arrays)
    assert all(np.array_equal(getattr(pca, n), getattr(again, n)) for n in ("axes", "variances", "mean"))
    assert arrays["Utmu"] == pytest.approx(pca.axes.T @ pca.mean[:, None], abs=1e-5)


def test_published_arrays_that_do_not_fit_are_refused():
    arrays = Pca.fit(vectors(20, 64), 6).to_published()
    with pytest.raises(ConfigurationError, match="got no lams"):
        Pca.from_published({"U": arrays["U"], "mu": arrays["mu"]})
    with pytest.raises(ConfigurationError, match="is this the PCA file"):
        Pca.from_published({**arrays, "U": arrays["U"].T})
    with pytest.raises(ConfigurationError, match="above 0"):
        Pca.from_published({**arrays, "lams": -arrays["lams"]})


def test_it_needs_no_torch():
    code = (
        "import sys, numpy as np\nfrom relpose_ros.retrieval.pca import Pca\n"
        "Pca.fit(np.random.default_rng(0).standard_normal((9, 4)), 2).layer()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
