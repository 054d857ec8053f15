"""Compiled libraries: built once, found again, repaired; and what happens without a compiler."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch

from hybrid.cache_folder import NoCacheFolder
from hybrid.locks import FileLock
from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import CompilerError, cache
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cpu import compiler, kernels
from hybrid.scattering.compiled.cpu.compiler import find_compiler, load_library

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

SOURCE = 'extern "C" int answer() { return 42; }'


@pytest.fixture
def counting_compiler(tmp_path, monkeypatch):
    """A compiler that writes one line per library into a file; and an empty cache."""
    real, log, script = find_compiler()[0], tmp_path / "log", tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\ncase "$*" in *.so*) echo built >> {log}; sleep 0.2;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    log.touch()
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return log


def builds(log):
    return len(log.read_text().splitlines())


def test_a_library_is_built_once(counting_compiler):
    assert [load_library(SOURCE, "answer").answer() for _ in range(3)] == [42] * 3
    assert builds(counting_compiler) == 1
    load_library(SOURCE + "\n", "answer")
    assert builds(counting_compiler) == 2


def test_several_processes_build_one_library(counting_compiler):
    program = f"from {load_library.__module__} import load_library; print(load_library({SOURCE!r}, 'answer').answer())"
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=100)[0] for process in processes] == [b"42\n"] * 3
    assert builds(counting_compiler) == 1


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_library_is_built_again(counting_compiler, damage, tmp_path):
    load_library(SOURCE, "answer")
    (library,) = (tmp_path / "cache").glob("*.so")
    contents = library.read_bytes()
    library.unlink()  # this process has the old file mapped
    library.write_bytes(contents[:-100] if damage is None else damage)
    assert load_library(SOURCE, "answer").answer() == 42
    assert builds(counting_compiler) == 2 and library.stat().st_size == len(contents)


def test_a_killed_build_leaves_nothing_that_is_used(counting_compiler, tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "compile_library", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load_library(SOURCE, "answer")
    monkeypatch.undo()
    assert not list((tmp_path / "cache").glob("*.so"))


def test_another_cpu_or_flag_is_another_library(counting_compiler, monkeypatch):
    load_library(SOURCE, "answer")
    compiler.identity.cache_clear()
    monkeypatch.setattr(compiler, "_cpu", lambda: "another cpu")
    load_library(SOURCE, "answer")
    compiler.identity.cache_clear()
    assert builds(counting_compiler) == 2


def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one(counting_compiler, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache.cache_folder().parent == tmp_path
    assert load_library(SOURCE, "answer").answer() == 42
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(NoCacheFolder, match="can be written"):
        cache.cache_folder()
    with pytest.raises(CompilerError, match="compiled code has no place: neither .* can be written"):
        load_library(SOURCE, "answer")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "theirs"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache.cache_folder() != tmp_path / "theirs"


def test_a_folder_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "open"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.warns(UserWarning, match="open is not used as a cache, because others may write it: chmod go-w"):
        assert cache.cache_folder() != tmp_path / "open"


@pytest.mark.parametrize("plant", ["link", "writable"])
def test_a_library_that_others_may_have_planted_is_built_again(counting_compiler, tmp_path, plant):
    load_library(SOURCE, "answer")
    (library,) = (tmp_path / "cache").glob("*.so")
    if plant == "link":
        library.rename(tmp_path / "elsewhere.so")
        library.symlink_to(tmp_path / "elsewhere.so")
    else:
        library.chmod(0o777)
    assert load_library(SOURCE, "answer").answer() == 42
    assert builds(counting_compiler) == 2 and not library.is_symlink() and library.stat().st_mode & 0o22 == 0


def test_another_process_that_compiles_for_ever_is_not_waited_for_without_end(counting_compiler, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_SAY_AFTER", 0.1)
    monkeypatch.setattr(cache, "_PATIENCE", 0.1)
    load_library(SOURCE, "answer")
    (library,) = (tmp_path / "cache").glob("*.so")
    library.unlink()
    with FileLock(f"{library}.lock"), pytest.warns(UserWarning, match="waiting for another process that compiles"):
        assert load_library(SOURCE, "answer").answer() == 42


def test_code_that_computes_wrong_numbers_is_not_used(tmp_path, monkeypatch, forgetful, caplog):
    """As by a compiler with a bug, or a planted library."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    real = kernels.Kernel.forward
    monkeypatch.setattr(kernels.Kernel, "forward", lambda self, images: 2 * real(self, images))
    scattering, images = Scattering2D(1, (8, 8), 2, engine="cpu"), torch.rand(3, 8, 8)
    assert torch.equal(scattering(images), TorchScattering2D(1, (8, 8), 2)(images))
    assert "the forward code computes wrong numbers here, relative error 1.0e+00" in caplog.text


@pytest.fixture
def forgetful():
    """What was found out about compilers is forgotten before and after."""
    compiled_engine._choose.cache_clear()
    kernels._kernel.cache_clear()
    yield
    compiled_engine._choose.cache_clear()
    kernels._kernel.cache_clear()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("nothing-of-that-name", "no C++ compiler found"),
        ("false", "cannot compile"),
        ("true", "ended without an error and wrote no library"),
        ("'c++", "cannot be read: No closing quotation"),
    ],
)
def test_without_a_compiler_the_torch_engine_works(command, reason, monkeypatch, caplog, forgetful):
    monkeypatch.setenv("CXX", command)
    caplog.set_level(logging.INFO)
    scattering, images = Scattering2D(2, (16, 20), 4, engine="cpu"), torch.rand(3, 16, 20)
    for _ in range(2):
        assert torch.equal(scattering(images), TorchScattering2D(2, (16, 20), 4)(images))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and reason in lines[0] and "torch engine" in lines[0] and "\n" not in lines[0]


def test_an_error_in_the_source_is_one_line(counting_compiler):
    with pytest.raises(CompilerError, match="error: .*'nonsense'") as caught:
        load_library("nonsense x;", "wrong")
    assert "\n" not in str(caught.value)


def test_fewer_flags_where_the_compiler_knows_fewer(tmp_path, monkeypatch):
    real, script = find_compiler()[0], tmp_path / "simple"
    script.write_text(f'#!/bin/sh\ncase "$*" in *-march*|*-fopenmp*|*-mcpu*) exit 1;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    assert "-march=native" in compiler.flags_for((real,))
    assert not {"-march=native", "-fopenmp"} & set(compiler.flags_for((str(script),)))


@pytest.mark.slow
def test_plain_instruction_sets_and_no_openmp(tmp_path, monkeypatch, forgetful, exact, channel_error):
    """As on a CPU without AVX, with a compiler without OpenMP."""
    real, script = find_compiler()[0], tmp_path / "simple"
    script.write_text(f'#!/bin/sh\ncase "$*" in *-march*|*-fopenmp*|*-mcpu*) exit 1;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    images = torch.rand(5, 16, 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        values = Scattering2D(2, (16, 20), 4, engine="cpu")(images)
    finally:
        torch.set_num_threads(before)
    assert compiled_engine.is_usable(Scattering2D(2, (16, 20), 4, engine="cpu").settings, "cpu", 0)
    assert channel_error(values, exact(images, 2, (16, 20), 4, 2)) <= 1e-6
