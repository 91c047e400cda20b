"""Install a file of pinned requirements with pip, showing how far it is: `python devtools/stack/install.py FILE`.

It needs nothing but the standard library: it is what installs the rest.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?==", re.MULTILINE)
FOUND = re.compile(r"(Collecting|Requirement already satisfied:|Ignoring) ")  # the last: not for this machine
EVERY = 10  # packages between two lines where nobody can rewrite one


def install(file: str) -> int:
    """Return pip's exit code. When it fails, what it said is on stderr."""
    total, began, found, said = len(PINNED.findall(Path(file).read_text())), time.monotonic(), 0, []
    print(f"Installing {total} packages from {file} into .venv: once, a minute or two.", flush=True)
    argv = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    argv += ["--no-input", "--require-hashes", "-r", file]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            said.append(line)
            if FOUND.match(line):
                found += 1
                _show(f"  {found} of {total} packages", is_last=found == total)
            elif line.startswith("Installing collected packages"):
                print("  unpacking them …", flush=True)
    if pip.returncode:
        sys.stderr.writelines(said[-30:])
        return pip.returncode
    print(f"  done in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _show(text: str, is_last: bool) -> None:
    if sys.stdout.isatty():
        print(f"\r{text}", end="\n" if is_last else "", flush=True)
    elif is_last or int(text.split()[0]) % EVERY == 0:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))
