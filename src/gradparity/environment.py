"""Where a run runs: what moves the last bits of a result without any framework having changed."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.op import GradparityError

# Environment variables that choose between kernels, threads, precisions or backends.
VARIABLES = frozenset({
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC", "MKL_CBWR",
    "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE", "GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_COMPILE_DISABLE",
    "TORCHDYNAMO_DISABLE", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_USE_LEGACY_KERAS",
    "KERAS_BACKEND", "XLA_FLAGS", "JAX_ENABLE_X64", "JAX_DISABLE_JIT", "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_PLATFORMS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG",
})  # fmt: skip


def environment(processes: Mapping[str, Mapping[str, str]], kept: Mapping[str, str]) -> dict[str, Any]:
    """Facts by name. `processes`: the variables that the process of each adapter is started with, by its name. kept:
    those by which what is compiled is kept, which change no result."""
    return {
        "python": platform.python_version(),
        "os": " ".join(filter(None, (platform.system(), *platform.libc_ver()))),
        "cpu": cpu(),
        "isa": processor(),
        "cores": cores(),
        "long_double_bits": int(np.finfo(np.longdouble).nmant) + 1,
        "flush_to_zero": flushes_to_zero(),
        "variables": {name: variables(process, kept) for name, process in sorted(processes.items())},
    }


def variables(process: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """What is set in a process: those of ours that count, and what it is started with."""
    counts = {k: v for k, v in os.environ.items() if k in VARIABLES and kept.get(k) != v}
    return dict(sorted({**counts, **process}.items()))


@cache
def processor() -> str:
    """The architecture, and the widest vectors that NumPy found: what vectorised libraries choose their code by."""
    widest = next((name for name in ("AVX512F", "AVX2", "SVE", "ASIMD") if name in features()), "no vectors")
    return f"{platform.machine()} {widest}"


@cache
def features() -> frozenset[str]:
    """The architecture and every set of instructions that NumPy found, by NumPy's names."""
    name = "numpy._core._multiarray_umath" if hasattr(np, "_core") else "numpy.core._multiarray_umath"
    found = importlib.import_module(name).__cpu_features__
    return frozenset((platform.machine(), *(feature for feature, there in found.items() if there)))


def cpu() -> str:
    """The processor's name, as the system gives it."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def instructions() -> str:
    """The sets of instructions that it has, as the system gives them."""
    return cpu_info().get("flags") or cpu_info().get("Features") or processor()


@cache
def cpu_info() -> Mapping[str, str]:
    """What Linux says of the first processor; nothing on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in first.splitlines())}


def threads() -> int:
    """How many a framework computes with in a process: GRADPARITY_THREADS, by default one, since the suite parallelises
    over processes, and the number moves bits. Raises GradparityError for what is no number."""
    text = os.environ.get("GRADPARITY_THREADS") or "1"
    if not (text.isdecimal() and int(text)):
        raise GradparityError(f"GRADPARITY_THREADS is a number of threads from 1, not {text!r}")
    return int(text)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flushes_to_zero() -> bool:
    """Whether subnormal results are lost in this thread."""
    return not (np.array([5e-324]) * 1.0 > 0).all()


def cache_folder() -> Path | None:
    """Where what was compiled or installed is kept for the next run: GRADPARITY_CACHE, nowhere if that is empty, and
    by default gradparity in the user's cache."""
    named = os.environ.get("GRADPARITY_CACHE")
    if named is None:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gradparity")
    return Path(named).absolute() if named else None
