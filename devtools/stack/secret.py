"""Random secrets that stay the same from start to start, in files that only their owner reads."""

import os
import secrets
from pathlib import Path


def kept_secret(path: Path, size: int = 24) -> str:
    """The text in `path`; made from `size` random bytes when there is none yet."""
    if path.is_file():
        found = path.read_text().strip()
        if found:
            return found
    made = secrets.token_urlsafe(size)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Write with mode 0600 from the first moment; a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
