"""`python -m ajo.soroban.replay FILE…`: a line for each file and for each difference; exit 1 if there is any."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ajo.soroban.replay.document import UnreadableFile, load
from ajo.soroban.replay.exchanges import replay_exchanges
from ajo.soroban.replay.vectors import replay_entries, replay_steps


def replay(path: Path) -> tuple[str, list[str]]:
    """What was replayed, in words, and what differs. Raises UnreadableFile."""
    document = load(path)
    try:
        if "steps" in document:
            count, found = replay_steps(document)
            return f"{count} steps", found
        if "exchanges" in document:
            count, found = replay_exchanges(document, path)
            return f"{count} requests", found
        if "entries" in document:
            count, found = replay_entries(document)
            return f"{count} entries", found
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFile(f"is not of a form that can be replayed: {type(error).__name__} {error}") from error
    raise UnreadableFile("has neither steps, entries nor exchanges")


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when everything is as recorded, 1 when something is not or cannot be read, 2 without files."""
    if not arguments or any(each in ("-h", "--help") for each in arguments):
        sys.stderr.write("usage: python -m ajo.soroban.replay FILE…\n")
        return 2
    failed = False
    for argument in arguments:
        try:
            what, found = replay(Path(argument))
        except UnreadableFile as error:
            sys.stdout.write(f"{argument}: {' '.join(str(error).split())}\n")
            failed = True
            continue
        sys.stdout.write(f"{argument}: {what}, {len(found)} differences\n")
        for each in found:
            sys.stdout.write(f"  {each}\n")
        failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
