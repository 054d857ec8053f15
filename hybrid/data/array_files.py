"""Arrays in .npy, .npz and HDF5 files, without reading them whole where their format allows it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UserError, unknown_name

HDF5 = (".h5", ".hdf5", ".hdf")
_HEADER = (
    30  # bytes of a zip member's local header; the lengths of the name and of the extra field are its last two numbers
)
_READERS: dict[int, Callable[..., tuple[tuple[int, ...], bool, np.dtype]]] = {
    1: np.lib.format.read_array_header_1_0,
    2: np.lib.format.read_array_header_2_0,
}


def open_array(root: Path, name: str, *, setting: str) -> tuple[Any, bool]:
    """An array by its name, and whether it stays in its file until a part of it is asked for.

    Args:
        root: the file that holds the array, or the folder that holds the file.
        name: of the array in the file; with a folder, a .npy file in it, or FILE:NAME of an array in a file of several.
        setting: the setting that names it, for errors.

    Returns:
        What has a shape, a dtype and slices: a NumPy array, one that is mapped into memory, or a dataset of h5py. An array
        of a compressed .npz file is read whole: its parts cannot be found without unpacking it.

    Raises:
        UserError: there is no such file or array, or it cannot be read.
    """
    path, name = _place(root, name, setting)
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), True
        if path.suffix in HDF5:
            return _in_hdf5(path, name, setting), True
        return _in_npz(path, name, setting)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, UserError):
            raise
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0][:120]
        raise UserError(f"{path}: {name} cannot be read ({reason}); objects of Python are not read at all.") from error


def find_array(root: Path, name: str, *, setting: str) -> None:
    """Raises UserError, as `open_array` does, where there is no such file or no array of this name in it; none is read."""
    path, name = _place(root, name, setting)
    with suppress(OSError, zipfile.BadZipFile):  # of a damaged file, which is said where it is read
        if path.suffix != ".npy" and name not in (names := _names(path)):
            raise _unknown(path, name, names, setting)


def _names(path: Path) -> list[str]:
    """The names of the arrays in a file of several."""
    if path.suffix in HDF5:
        return _hdf5_names(path)
    with zipfile.ZipFile(path) as archive:
        return [member.removesuffix(".npy") for member in archive.namelist()]


def array_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the arrays of a file; of a .npy file, which has one, its own name. Raises UserError as `open_array`."""
    if path.suffix == ".npy":
        names = [path.name]
    else:
        try:
            names = _names(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not readable ({str(error).splitlines()[0][:120]}).") from error
    return {name: tuple(open_array(path, name, setting="array")[0].shape) for name in names}


def _unknown(path: Path, name: str, names: list[str], setting: str) -> UserError:
    """The error for an array that a file lacks. It gives the settings where two arrays can only be images and their labels."""
    error = unknown_name(name, names, what=f"array of {path} ({setting})")
    if setting not in ("data.images", "data.labels") or len(names) != 2:
        return error
    labels, images = sorted(array_names(path).items(), key=lambda each: len(each[1]))
    fitting = len(labels[1]) in (1, 2) and len(images[1]) in (3, 4) and labels[1][0] == images[1][0]
    return UserError(f"{error} Set data.images={images[0]} data.labels={labels[0]}.") if fitting else error


def _place(root: Path, name: str, setting: str) -> tuple[Path, str]:
    """(the file, the name of the array in it)."""
    if root.is_file():
        if root.suffix not in (".npz", ".npy", *HDF5):
            raise UserError(
                f"data.root={root} is no array file. Valid: .npz, .h5, or a folder of such files or .npy files."
            )
        return root, name
    if not root.is_dir():
        raise UserError(f"there is no file or folder data.root={root.absolute()}.")
    file, _, inside = name.partition(":")
    path = root / file
    if not path.is_file():
        found = sorted(each.name for each in root.iterdir() if each.suffix in (".npy", ".npz", *HDF5))
        raise unknown_name(file, found, what=f"array file of {root} ({setting})")
    if path.suffix != ".npy" and not inside:
        raise UserError(f"{setting}={name} names a file of several arrays: write {name}:ARRAY.")
    return path, inside or file


def _in_npz(path: Path, name: str, setting: str) -> tuple[Any, bool]:
    with zipfile.ZipFile(path) as archive:
        names = [member.removesuffix(".npy") for member in archive.namelist()]
        if name not in names:
            raise _unknown(path, name, names, setting)
        member = archive.getinfo(f"{name}.npy")
    if member.compress_type == zipfile.ZIP_STORED and (mapped := _mapped(path, member)) is not None:
        return mapped, True
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name], False


def _mapped(path: Path, member: zipfile.ZipInfo) -> np.memmap | None:
    """An array of an .npz file that is not compressed, mapped into memory; None where its header is of no known version."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(_HEADER)
        stream.seek(member.header_offset + _HEADER + sum(np.frombuffer(header[26:30], "<u2").tolist()))
        major, _ = np.lib.format.read_magic(stream)
        if major not in _READERS:
            return None
        shape, fortran, dtype = _READERS[major](stream)
        if dtype.hasobject or not all(shape):
            return None
        order = "F" if fortran else "C"
        return np.memmap(path, dtype=dtype, mode="r", offset=stream.tell(), shape=shape, order=order)  # type: ignore[call-overload]


class _OpenFiles:
    """The HDF5 files that this process has open: a file that was opened before a fork must not be read after it."""

    def __init__(self) -> None:
        self._process, self._files = 0, {}

    def get(self, path: Path) -> Any:
        import h5py

        if self._process != os.getpid():
            self._process, self._files = os.getpid(), {}
        if path not in self._files:
            self._files[path] = h5py.File(path, "r")
        return self._files[path]


_open_files = _OpenFiles()


def _in_hdf5(path: Path, name: str, setting: str) -> Any:
    if name not in (names := _hdf5_names(path)):
        raise _unknown(path, name, names, setting)
    return _open_files.get(path)[name]


def _hdf5_names(path: Path) -> list[str]:
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path}: HDF5 files need h5py: pip install 'hybrid-scattering[h5]'.") from error
    names: list[str] = []
    _open_files.get(path).visititems(lambda key, item: names.append(key) if isinstance(item, h5py.Dataset) else None)
    return names


def text_of(values: np.ndarray) -> list[str]:
    """An array of text or bytes as strings."""
    with suppress(AttributeError):
        return [value.decode() for value in values.tolist()]
    return [str(value) for value in values.tolist()]
