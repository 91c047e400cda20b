"""Random secrets in files that only their owner can read; they are the same at each start."""

import os
import secrets
from pathlib import Path


def stable_secret(path: Path, size: int = 24) -> str:
    """Return the text in `path`, writing one of `size` random bytes when there is none yet."""
    if path.is_file():
        found = path.read_text().strip()
        if found:
            return found
    made = secrets.token_urlsafe(size)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, with mode 0600 from the beginning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
