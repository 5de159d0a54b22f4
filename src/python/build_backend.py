#!/usr/bin/env python3
"""Builds the wheel: compiles libpgsink_c with CMake, packs it with the Python files.

  src/python/build_backend.py [FOLDER]   writes the wheel into FOLDER (build/wheels)
  python -m pip install src/python       does the same and installs it

PGSINK_C_LIBRARY names a libpgsink_c.so that is built already. The wheel works with every Python from
3.9 on, because it is called by ctypes; its name says which C library it needs.
"""

import base64
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY = "libpgsink_c.so"
PACKAGES = ("pgsink", "pyspark_pgsink")
# What every Linux has: a library that needs more is for this machine only.
EVERYWHERE = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}

METADATA = """Metadata-Version: 2.1
Name: pgsink
Version: {version}
Summary: Writes frames, tables and streams of batches into PostgreSQL
License: Apache-2.0
Requires-Python: >=3.9
Classifier: Operating System :: POSIX :: Linux
Classifier: Typing :: Typed
Description-Content-Type: text/markdown

{readme}"""


def run(*command):
    """What a program prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def version():
    """The version in CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"project\(pgsink VERSION (\S+)", text).group(1)


def compile_library():
    """Compiles the library with everything in it that a machine may lack; its path."""
    build = ROOT / "build" / "wheel"
    subprocess.run(
        ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         "-DPGSINK_SHELL=OFF", "-DPGSINK_TESTS=OFF", "-DPGSINK_C_SELF_CONTAINED=ON",
         "-DPGSINK_FAST_BUILD=ON"],
        check=True, stdout=sys.stderr,
    )
    subprocess.run(["cmake", "--build", build, "--target", "pgsink_c"], check=True,
                   stdout=sys.stderr)
    return build / LIBRARY


def platform_tag(library):
    """The platform of the wheel's name: the oldest C library that it works with."""
    machine = platform.machine()
    dynamic = run("objdump", "-p", str(library))
    needed = set(re.findall(r"NEEDED +(\S+)", dynamic))
    needed = {name for name in needed if not name.startswith("ld-linux")}
    if not needed <= EVERYWHERE:
        return f"linux_{machine}"
    versions = re.findall(r"GLIBC_2\.(\d+)", dynamic)
    return f"manylinux_2_{max(map(int, versions))}_{machine}"


def digest(data):
    """As RECORD has it."""
    value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={value},{len(data)}"


def pack(library, folder):
    """Writes the wheel; its name."""
    number = version()
    tag = f"py3-none-{platform_tag(library)}"
    info = f"pgsink-{number}.dist-info"
    files = {f"{package}/{path.name}": path.read_bytes()
             for package in PACKAGES for path in sorted((HERE / package).iterdir())
             if path.suffix == ".py" or path.name == "py.typed"}
    with tempfile.TemporaryDirectory() as work:
        stripped = Path(work) / LIBRARY
        subprocess.run(["strip", "-o", stripped, library], check=True)
        files[f"pgsink/{LIBRARY}"] = stripped.read_bytes()
    files[f"{info}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    readme = (HERE / "README.md").read_text()
    files[f"{info}/METADATA"] = METADATA.format(version=number, readme=readme).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: pgsink\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    record = "".join(f"{name},{digest(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    name = f"pgsink-{number}-{tag}.whl"
    with zipfile.ZipFile(Path(folder) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path)  # Without a time, so that a wheel can be built again.
            entry.external_attr = (0o755 if path.endswith(".so") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """What pip calls."""
    given = os.environ.get("PGSINK_C_LIBRARY")
    return pack(Path(given) if given else compile_library(), wheel_directory)


def build_sdist(sdist_directory, config_settings=None):
    """There is none: the sources are the repository."""
    raise NotImplementedError("pgsink has no source distribution: install from its repository")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "wheels")
    target.mkdir(parents=True, exist_ok=True)
    print(target / build_wheel(target))
