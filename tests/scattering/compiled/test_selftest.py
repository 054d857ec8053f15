"""The self-test of a GPU, with stand-ins for its process and for the GPU: verdicts, how they are kept, what engine=auto does."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hybrid.scattering.compiled import CompilerError, cache, selftest
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.geometry import Settings

SETTINGS = Settings(2, (16, 20), 4)
PASSES = 'import json; print("compiling ..."); print(json.dumps({"passed": True, "words": "all is well"}))'
FAILS = 'import json; print(json.dumps({"passed": False, "words": "relative errors of 1e+00"}))'
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANGS = "import time; time.sleep(600)"
RAISES = 'raise RuntimeError("no NVRTC")'
SILENT = "pass"


@pytest.fixture(autouse=True)
def pretended(tmp_path, monkeypatch):
    """A GPU's name and NVRTC's version, and an empty cache folder; nothing is remembered."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Pretended GPU {index}")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(selftest, "version", lambda: (13, 0))
    forget()
    yield
    forget()


def forget():
    """As in a new process."""
    selftest.verdict.cache_clear()
    compiled_engine._choose.cache_clear()


def stand_in(monkeypatch, program):
    """The child process runs this program, and adds a line to a file that is returned."""
    log = Path(os.environ["HYBRID_CACHE"], "log")
    log.touch()
    command = [sys.executable, "-c", f"open({str(log)!r}, 'a').write('run\\n')\n{program}"]
    monkeypatch.setattr(selftest, "_command", lambda index: command)
    return lambda: len(log.read_text().splitlines())


def test_a_child_that_passes(monkeypatch, caplog):
    runs = stand_in(monkeypatch, PASSES)
    verdict = selftest.verdict(0)
    assert verdict.passed and verdict.line == "the cuda engine passed its self-test on Pretended GPU 0: all is well"
    assert f"torch {torch.__version__}" in verdict.versions and "NVRTC 13.0" in verdict.versions
    assert "is tested on Pretended GPU 0, once, in a process of its own" in caplog.text
    forget()
    assert selftest.verdict(0) == verdict and runs() == 1
    assert selftest.kept_verdicts() == [verdict]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (FAILS, "relative errors of 1e+00"),
        (CRASHES, "its process was ended by SIGSEGV"),
        (RAISES, "its process failed with exit code 1: RuntimeError: no NVRTC"),
        (SILENT, "its process failed with exit code 0: it said nothing"),
    ],
)
def test_a_child_that_does_not_pass(monkeypatch, program, words):
    runs = stand_in(monkeypatch, program)
    for _ in range(2):
        verdict = selftest.verdict(0)
        forget()
        assert not verdict.passed and "\n" not in verdict.line
        assert verdict.line == (
            f"the cuda engine did not pass its self-test on Pretended GPU 0: {words} (hybrid selftest runs it again)"
        )
    assert runs() == 1


def test_a_child_that_hangs_is_ended_with_all_that_it_started(monkeypatch, tmp_path):
    grandchild = tmp_path / "grandchild"
    program = (
        f"import subprocess\nopen({str(grandchild)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))\n{HANGS}"
    )
    stand_in(monkeypatch, program)
    verdict = selftest.run_selftest(0, limit=5)
    assert not verdict.passed and "its process did not end within 5 s" in verdict.line and verdict.seconds < 60
    for _ in range(100):
        if not is_running(int(grandchild.read_text())):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the process that the child started goes on")


def is_running(process: int) -> bool:
    """Whether the process exists and is no zombie, which only waits for somebody to ask for its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_interrupt_ends_the_child(monkeypatch, tmp_path):
    child = tmp_path / "child"
    stand_in(monkeypatch, f"import os; open({str(child)!r}, 'w').write(str(os.getpid()))\n{HANGS}")

    def interrupt(self, timeout=None):
        while not child.exists() or not child.read_text():
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(selftest.subprocess.Popen, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        selftest.verdict(0)
    assert not is_running(int(child.read_text())) and not selftest.kept_verdicts()


def test_it_runs_once_for_each_gpu_and_version(monkeypatch):
    runs = stand_in(monkeypatch, PASSES)
    for index in (0, 1, 0):
        selftest.verdict(index)
        forget()
    assert runs() == 2
    monkeypatch.setattr(torch.version, "cuda", "99.9")
    selftest.verdict(0)
    assert runs() == 3
    assert [kept.gpu for kept in selftest.kept_verdicts()] == ["Pretended GPU 0", "Pretended GPU 0", "Pretended GPU 1"]


def test_it_runs_again_for_other_kernels(monkeypatch):
    runs = stand_in(monkeypatch, PASSES)
    selftest.verdict(0)
    forget()
    monkeypatch.setattr(selftest, "sources", lambda: "of a changed kernel")
    selftest.verdict(0)
    assert runs() == 2


def test_the_hash_of_the_sources_is_of_every_kernel(monkeypatch, tmp_path):
    here = Path(cache.__file__).parent
    shutil.copytree(here, tmp_path / "compiled", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "compiled" / "cache.py"))
    hashes = {cache.sources(), cache.sources.__wrapped__()}
    assert len(hashes) == 1  # wherever the package lies
    for name in ("cuda/forward.cu", "codelets/cuda.py", "tables.h"):
        with (tmp_path / "compiled" / name).open("a") as file:
            file.write("\n")
        hashes.add(cache.sources.__wrapped__())
    assert len(hashes) == 4


def test_it_can_be_run_again(monkeypatch):
    stand_in(monkeypatch, FAILS)
    assert not selftest.verdict(0).passed
    stand_in(monkeypatch, PASSES)
    assert not selftest.verdict(0).passed
    assert selftest.run_selftest(0).passed and selftest.verdict(0).passed
    assert [kept.passed for kept in selftest.kept_verdicts()] == [True]


def test_without_a_folder_it_runs_in_every_process(monkeypatch, tmp_path):
    runs = stand_in(monkeypatch, PASSES)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    for _ in range(2):
        assert selftest.verdict(0).passed
    assert runs() == 1 and selftest.kept_verdicts() == []


def test_a_damaged_verdict_is_none(monkeypatch, tmp_path):
    runs = stand_in(monkeypatch, PASSES)
    selftest.verdict(0)
    (file,) = tmp_path.glob("selftest-*.json")
    file.write_text(file.read_text().replace("true", "false"))
    forget()
    assert selftest.kept_verdicts() == []
    assert selftest.verdict(0).passed and runs() == 2


def test_other_makers_gpus_are_not_tested(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.0")
    with pytest.raises(CompilerError, match="AMD"):
        selftest.verdict(0)


@pytest.mark.parametrize(
    ("program", "words"), [(FAILS, "relative errors of 1e+00"), (CRASHES, "its process was ended by SIGSEGV")]
)
def test_auto_is_the_torch_engine_where_the_self_test_did_not_pass(monkeypatch, caplog, program, words):
    stand_in(monkeypatch, program)
    monkeypatch.setattr(compiled_engine, "_build", lambda *_: pytest.fail("the engine that failed was built"))
    assert not compiled_engine.is_usable(SETTINGS, "cuda", 0, measured=True)
    (line,) = [record.getMessage() for record in caplog.records if "torch engine" in record.getMessage()]
    assert line.startswith(
        "scattering of 16x20 images, J=2: torch engine; the cuda engine did not pass its self-test on"
    )
    assert words in line and "\n" not in line


def test_auto_is_the_cuda_engine_where_the_self_test_passed(monkeypatch):
    stand_in(monkeypatch, PASSES)
    monkeypatch.setattr(compiled_engine, "_build", lambda *_: "cuda engine, Pretended GPU 0")
    monkeypatch.setattr(compiled_engine, "speedup", lambda *_: 12.0)
    assert compiled_engine.is_usable(SETTINGS, "cuda", 0, measured=True)


def test_a_cpu_and_engines_by_name_need_no_self_test(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    runs = stand_in(monkeypatch, FAILS)
    monkeypatch.setattr(compiled_engine, "_build", lambda *_: "the engine")
    monkeypatch.setattr(compiled_engine, "speedup", lambda *_: 12.0)
    assert compiled_engine.is_usable(SETTINGS, "cuda", 0, ("cuda",))
    assert compiled_engine.is_usable(SETTINGS, "cpu", 0, measured=True)
    assert runs() == 0 and "self-test" not in caplog.text


def test_without_nvrtc_nothing_is_tested_or_kept(monkeypatch, caplog):
    runs = stand_in(monkeypatch, PASSES)

    def missing():
        raise CompilerError("no NVRTC (pip install cuda-bindings)")

    monkeypatch.setattr(selftest, "version", missing)
    assert not compiled_engine.is_usable(SETTINGS, "cuda", 0, measured=True)
    assert "no NVRTC" in caplog.text and runs() == 0 and selftest.kept_verdicts() == []


SMALL = (Settings(1, (4, 6), 2), Settings(1, (4, 6), 2, 1))


def test_what_the_child_computes():
    """On a CPU, whose compiled engine stands in for the GPU's."""
    passed, words = selftest.examine(torch.device("cpu"), SMALL)
    assert passed and "2 sizes, relative errors up to" in words
    assert "fast" not in words  # a speed is what benchmarks measure, not a few calls on a machine at work


@pytest.mark.parametrize("value", [1.01, float("nan")])
def test_wrong_numbers_are_seen_by_the_child(monkeypatch, value):
    from hybrid.scattering.compiled import operator

    apply = operator.apply
    monkeypatch.setattr(operator, "apply", lambda images, settings: apply(images, settings) * value)
    passed, words = selftest.examine(torch.device("cpu"), SMALL)
    assert not passed and "with 4x6 images, J=1, L=2, order 2" in words


def test_ten_sizes_of_every_kind_that_codelets_serve():
    from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT, is_supported
    from hybrid.scattering.geometry import map_sizes

    sides = {side for settings in selftest.SIZES for side in map_sizes(settings.padded, settings.J)}
    assert len(selftest.SIZES) == 10 and all(map(is_supported, sides))
    assert min(sides) <= LONGEST_STRAIGHT < max(sides)  # one pass, and two
    assert {settings.J for settings in selftest.SIZES} == {1, 2, 3, 4}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_real_child_on_a_machine_without_a_gpu():
    """It imports this package, wherever the parent was started, and its failure is one line."""
    with contextlib.chdir("/") if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        verdict = selftest.verdict(0)
    assert not verdict.passed and "its process failed with exit code 1: " in verdict.line
    assert "ModuleNotFoundError" not in verdict.line


def pretend_devices(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.fixture
def answer(capsys):
    """answer(argument, …) -> exit code, output, errors of `hybrid selftest`."""
    from hybrid.commands.selftest import selftest as command

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            command(list(arguments))
            raise SystemExit(0)
        return SimpleNamespace(code=end.value.code or 0, **capsys.readouterr()._asdict())

    return run


def test_the_command_prints_a_line_for_each_gpu(monkeypatch, answer):
    pretend_devices(monkeypatch, 2)
    stand_in(monkeypatch, PASSES)
    told = answer()
    assert told.code == 0 and [line[:8] for line in told.out.splitlines()] == ["cuda:0  ", "cuda:1  "]
    stand_in(monkeypatch, CRASHES)
    told = answer("device=1")
    assert told.code == 1 and "cuda:1  the cuda engine did not pass" in told.out


def test_the_command_refuses_what_it_cannot_test(monkeypatch, answer):
    pretend_devices(monkeypatch, 1)
    for arguments, message in [
        (["device=1"], "device=1 is not there. Valid: 0 to 0, null."),
        (["seconds=0"], "seconds=0"),
    ]:
        told = answer(*arguments)
        assert told.code == 2 and message in told.err and told.err.count("\n") == 1
    pretend_devices(monkeypatch, 0)
    assert "torch finds no CUDA device here" in answer().err
