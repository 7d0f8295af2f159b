"""Build bridge: setuptools asks CMake for the one C++ module and carries kernels/ into the wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        # --fresh: the cache that an earlier build left here may name the tools of an environment that is gone.
        build = Path(self.build_temp).resolve() / f"cmake-{sys.implementation.cache_tag}"
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            "cmake", "--fresh", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DASDA_FAST_OUTPUT={target}",
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build)], check=True)


class BuildWithKernels(build_py):
    """The CUDA sources are compiled at run time by NVRTC, so the wheel must hold them (as asda_fast/kernels)."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "kernels", Path(self.build_lib) / "asda_fast" / "kernels", dirs_exist_ok=True)


setup(
    packages=find_packages(include=["asda_fast", "asda_fast.*"]),
    package_data={
        "asda_fast": ["py.typed", "_C.pyi", "data/demo/**/*", "parts/schemes/*.json", "viz/*.html", "report/*.html"]
    },
    ext_modules=[Extension("asda_fast._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "build_py": BuildWithKernels},
    zip_safe=False,
)
