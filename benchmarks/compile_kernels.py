"""The CUDA kernels compiled for a named GPU without one and without CuPy, and what the compiler says of them."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

from asda_fast.ops.paste_cuda import Variant


class Nvrtc:
    """As much of the compiler's C interface as this needs (pip: nvidia-cuda-nvrtc)."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("nvidia")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        found = sorted(p for folder in folders for p in Path(folder).glob("**/libnvrtc.so.*") if "alt" not in p.name)
        assert found, "no libnvrtc: pip install nvidia-cuda-nvrtc (it is in the dev extra)"
        for builtins in found[-1].parent.glob("libnvrtc-builtins.so.*"):  # 13.0 does not look beside itself
            ctypes.CDLL(str(builtins))
        self.library = ctypes.CDLL(str(found[-1]))

    def compile(self, source: str, options: tuple[str, ...]) -> tuple[int, str, str, bytes]:
        """result, log, PTX, cubin"""
        program = ctypes.c_void_p()
        call = self.library
        assert call.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"paste.cu", 0, None, None) == 0
        arguments = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        result = call.nvrtcCompileProgram(program, len(options), arguments)

        def text(name: str) -> bytes:
            size = ctypes.c_size_t()
            if getattr(call, f"nvrtcGet{name}Size")(program, ctypes.byref(size)):
                return b""
            buffer = ctypes.create_string_buffer(size.value)
            getattr(call, f"nvrtcGet{name}")(program, buffer)
            return buffer.raw

        log, ptx, cubin = text("ProgramLog"), text("PTX"), text("CUBIN")
        call.nvrtcDestroyProgram(ctypes.byref(program))
        return result, log.decode().rstrip("\0"), ptx.decode().rstrip("\0"), cubin


def options(variant: Variant, architecture: str) -> tuple[str, ...]:
    # CuPy adds -ftz=true to everything it compiles; -v makes ptxas tell what it used.
    return (*variant.options(), f"-arch={architecture}", "-ftz=true", "--ptxas-options=-v")


def usage(log: str) -> dict[str, int]:
    names = {"stack": r"(\d+) bytes stack frame", "stores": r"(\d+) bytes spill stores",
             "loads": r"(\d+) bytes spill loads", "registers": r"Used (\d+) registers"}  # fmt: skip
    found = {name: re.findall(pattern, log) for name, pattern in names.items()}
    assert all(len(values) == 1 for values in found.values()), log
    return {name: int(values[0]) for name, values in found.items()}
