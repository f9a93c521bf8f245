"""Makes PyTorch's ordinary wheel work on a machine without a GPU and without CUDA's libraries, 3 GB that a processor never calls.

Run with the interpreter of an environment that has torch but none of the nvidia packages that its wheel is linked against, this writes libraries of the
same names beside torch's own, in which every function that torch wants only answers "no driver". It takes a C compiler, readelf and nm, as building this
project does. For tests alone.
"""

import collections
import pathlib
import re
import subprocess
import sysconfig
import tempfile

NO_DRIVER = 35  # cudaErrorInsufficientDriver: torch.cuda.is_available() is False
OTHERS = re.compile(r"lib(cu|nccl|nv)")
FUNCTIONS = re.compile(r"cu|nccl|nvrtc|nvshmem|__cuda")


def said(tool, *arguments):
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True).stdout


def wanted(folder):
    """What torch's libraries want of CUDA's: {library: {version of its symbols: names}}."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for file in folder.glob("*.so"):
        needed = [n for n in re.findall(r"\(NEEDED\).*\[(.*)\]", said("readelf", "-d", file)) if OTHERS.match(n)]
        if not needed:
            continue
        for library in needed:
            found[library][library]  # one that is only named must be there all the same
        versions = dict(reversed(p) for p in re.findall(r"File: (\S+)\s+Cnt: \d+\n.*?Name: (\S+)", said("readelf", "-W", "-V", file)))
        for symbol in said("nm", "-D", "--undefined-only", file).split():
            name, _, version = symbol.partition("@")
            if FUNCTIONS.match(name):  # who names no library takes a function from any
                found[versions.get(version, needed[0])][version or needed[0]].add(name)
    return found


def write(library, versions):
    with tempfile.TemporaryDirectory() as work:
        code, script = pathlib.Path(work, "hollow.c"), pathlib.Path(work, "versions")
        code.write_text("".join(f"int {n}(void) {{ return {NO_DRIVER}; }}\n" for n in sorted(set().union(*versions.values()))))
        script.write_text("".join(f"{v} {{ global: {' '.join(f'{n};' for n in sorted(names) or [v.replace('.', '_')])} }};\n" for v, names in versions.items()))
        subprocess.run(["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library.name}", f"-Wl,--version-script={script}", "-o", library, code], check=True)


if __name__ == "__main__":
    torch = pathlib.Path(sysconfig.get_path("platlib"), "torch", "lib")
    for name, versions in wanted(torch).items():
        write(torch / name, versions)
