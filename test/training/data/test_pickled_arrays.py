"""Plain data comes back as it was; a file that would run code is refused, and nothing of it runs."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.errors import DatasetError
from relpose_training.data.pickled_arrays import parse_npy, parse_pickle, read_pickled_npy

RECORD = {
    "image_path": "scene/images/a.jpg",
    "intrinsics": np.eye(3),
    "keypoints": np.arange(12, dtype=np.float32).reshape(6, 2),
    "ids": np.array([3, 1]),
    "size": [480, 640],
}


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype == object:
            return all(same(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
        return a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


def saved(value) -> bytes:
    """An .npy file as `numpy.save` writes it."""
    out = io.BytesIO()
    np.save(out, np.array(value, dtype=object), allow_pickle=True)
    return out.getvalue()


def arrays():
    types = st.sampled_from(["<f4", ">f8", "<i8", "|u1", "|b1", "<f2"])
    shapes = st.lists(st.integers(0, 3), max_size=3)
    made = st.builds(lambda t, s: np.arange(np.prod(s, dtype=int)).reshape(s).astype(t), types, shapes)
    return made | made.map(np.asfortranarray)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
VALUES = st.recursive(
    LEAVES | arrays() | st.builds(np.float32, st.floats(width=32)) | st.builds(np.int64, st.integers(0, 99)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(value=VALUES, protocol=st.sampled_from([2, 3, 4]))
def test_plain_data_comes_back(value, protocol):
    assert same(parse_pickle(pickle.dumps(value, protocol), "x"), value)


def test_npy_of_one_record_and_of_many(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(saved(RECORD))
    assert same(read_pickled_npy(path), RECORD)
    np.save(path, np.array([RECORD, RECORD | {"size": [1, 2]}], object)[:1], allow_pickle=True)
    assert same(read_pickled_npy(path)[0], RECORD)
    read_pickled_npy(path)[0]["intrinsics"][0, 0] = 2  # ours to change
    np.save(path, np.eye(4))
    assert same(read_pickled_npy(path), np.eye(4))


class Bomb:
    """Runs `call(*arguments)` when unpickled."""

    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def bombs(marker: Path) -> list[object]:
    code = f"open({str(marker)!r}, 'w').close()"
    return [
        Bomb(os.system, f"touch {marker}"),
        Bomb(eval, code),
        Bomb(exec, code),
        Bomb(os.mkdir, str(marker)),
        {"keypoints": np.zeros((2, 2)), "scores": Bomb(os.mkdir, str(marker))},
        [np.zeros(2), Bomb(os.mkdir, str(marker))],
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_file_that_runs_code_is_refused_before_any_of_it_runs(tmp_path, index):
    marker = tmp_path / "ran"
    file = tmp_path / "hostile.npy"
    file.write_bytes(saved(bombs(marker)[index]))
    with pytest.raises(DatasetError, match=r"hostile\.npy: refused .*Nothing of it was executed"):
        read_pickled_npy(file)
    assert not marker.exists()
    np.load(file, allow_pickle=True)  # it was a real one
    assert marker.exists()


def test_an_array_of_a_pickle_within_the_pickle_is_refused(tmp_path):
    """numpy's `scalar` unpickles its bytes for object types: an allow-list of numpy's names is not enough."""
    marker = tmp_path / "ran"
    inner = pickle.dumps(Bomb(os.mkdir, str(marker)))
    kind = pickle.dumps(np.dtype(object), 2)[2:-1]
    data = b"\x80\x03cnumpy.core.multiarray\nscalar\n" + kind + b"C" + bytes([len(inner)]) + inner + b"\x86R."
    with pytest.raises(DatasetError, match="number of an unknown kind"):
        parse_pickle(data, "x")
    assert not marker.exists()


class Reduced:
    """Pickles as what it is given: for states that no honest array has."""

    def __init__(self, *parts) -> None:
        self.parts = parts

    def __reduce__(self):
        return self.parts


def forged(shape, kind, content) -> bytes:
    """An array with this state."""
    make = np.zeros(0).__reduce__()[0]
    return pickle.dumps(Reduced(make, (np.ndarray, (0,), b"b"), (1, shape, kind, False, content)), 3)


@pytest.mark.parametrize(
    ("shape", "kind", "content"),
    [
        ((3,), np.dtype("f8"), b"short"),
        ((-1,), np.dtype("f8"), b""),
        ((2**40, 2**40), np.dtype("f4"), b"1234"),
        ((1,), np.dtype(object), b"12345678"),
        ((2,), np.dtype(object), [1]),
        ((1,), np.dtype("f8"), [1.0]),
        ((1,), np.dtype("U1"), b"\xff\xff\xff\xff"),
        ((1,), np.dtype("M8[s]"), b"12345678"),
        ((1,), np.dtype([("a", "O")]), b"12345678"),
        ([1], np.dtype("f8"), b"12345678"),
    ],
)
def test_lies_about_arrays_are_refused(shape, kind, content):
    with pytest.raises(DatasetError, match="refused"):
        parse_pickle(forged(shape, kind, content), "x")


def test_an_honest_forgery_is_read():
    assert same(parse_pickle(forged((1,), np.dtype("<f8"), np.ones(1).tobytes()), "x"), np.ones(1))


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"cos\nsystem\n.",
        b"\x80\x02cnumpy\ndtype\n.",  # a name as data
        b"\x80\x02]cnumpy\nndarray\na.",
        b"\x80\x02](cnumpy\nndarray\nt.",
        b"\x80\x04\x82\x01.",  # extension registry
        b"Pnobody\n.",  # persistent id
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02}q\x00h\x00b.",
        b"\x80\x02]q\x00h\x00a.",  # a list in itself
        b"\x80\x02K\x01K\x02.",
        b"\x80\x02N.N",
        b"\x80\x02t.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02c__builtin__\nbytes\nI1000000\n\x85R.",
        b"\x80\x02}]N\x73.",
    ],
)
def test_opcodes_that_plain_data_does_not_need_are_refused(data):
    with pytest.raises(DatasetError, match="refused"):
        parse_pickle(data, "x")


def test_nothing_is_imported_or_unpickled_while_reading(monkeypatch):
    hostile = [saved(bomb) for bomb in bombs(Path("/nonexistent/ran"))]
    honest = saved(RECORD)

    def forbidden(*_, **__):
        raise AssertionError("called while reading")

    with monkeypatch.context() as patch:
        patch.setattr(pickle, "loads", forbidden)
        patch.setattr(pickle, "Unpickler", forbidden)
        for name in ("eval", "exec", "compile", "__import__"):
            patch.setattr(builtins, name, forbidden)
        skip = honest.index(b"\n") + 1  # the header's parser compiles
        parse_pickle(honest[skip:], "x")
        for data in hostile:
            with pytest.raises(DatasetError):
                parse_pickle(data[skip:], "x")


def test_every_truncation_is_refused():
    whole = saved(RECORD)
    for length in range(len(whole)):
        with pytest.raises(DatasetError, match="x: "):
            parse_npy(io.BytesIO(whole[:length]), "x")


def test_a_damaged_file_is_refused_or_read_but_never_anything_else():
    whole = bytearray(saved(RECORD))
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(600):
        place, value = int(generator.integers(len(whole))), int(generator.integers(256))
        damaged = whole.copy()
        damaged[place] = value
        try:
            parse_npy(io.BytesIO(bytes(damaged)), "x")
        except DatasetError:
            refused += 1
    assert refused > 100


def test_deep_nesting_and_huge_lengths_end_in_the_same_error(monkeypatch):
    deep = b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b"."
    assert isinstance(parse_pickle(deep, "x"), list)
    with pytest.raises(DatasetError):
        parse_pickle(b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.", "x")
    whole = saved(RECORD)
    monkeypatch.setattr("relpose_training.data.pickled_arrays.MAX_BYTES", len(whole))
    assert same(parse_npy(io.BytesIO(whole), "x"), RECORD)
    with pytest.raises(DatasetError, match="larger than"):
        parse_npy(io.BytesIO(whole + b"."), "x")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.npy"):
        read_pickled_npy(tmp_path / "nowhere.npy")


def test_the_opcodes_known_here_exist():
    from relpose_training.data import pickled_arrays

    names = {opcode.name for opcode in pickletools.opcodes}
    known = set(pickled_arrays._ACTIONS) | pickled_arrays._LITERALS | set(pickled_arrays._CONSTANTS)
    assert known <= names
