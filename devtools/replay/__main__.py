"""The command `python -m devtools.replay FILE…`: see the package."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from devtools.replay.document import UnreadableFile, load
from devtools.replay.exchanges import replay_exchanges
from devtools.replay.settled import EXCEPTIONS
from devtools.replay.vectors import replay_entries, replay_steps
from devtools.replay.writing import replay_settings, replay_writing

# The list that a file holds, the word for its items, and the function that replays them
_KINDS: Final[tuple[tuple[str, str, Callable[[dict[str, Any], Path], Iterator[str]]], ...]] = (
    ("simulated", "requests", replay_writing),
    ("protocol", "settings", replay_settings),
    ("steps", "steps", replay_steps),
    ("exchanges", "requests", replay_exchanges),
    ("entries", "entries", replay_entries),
)

# Where the items are that are counted, if not under the list's own name
_ITEMS: Final = {"simulated": "exchanges", "protocol": "entries"}


class Replayed(NamedTuple):
    what: str
    differences: list[str]
    exceptions: tuple[tuple[str, str], ...] = ()


def replay(path: Path) -> Replayed:
    """Replay a file. Returns what was replayed, in words, the differences, and what was not compared and why.

    Raises UnreadableFile.
    """
    document = load(path)
    for name, word, play in _KINDS:
        if name in document:
            try:
                items = document[_ITEMS.get(name, name)]
                count = sum("ledgers" not in each and "clock" not in each for each in items)
                aside = EXCEPTIONS if play is replay_writing else ()
                return Replayed(f"{count} {word}", list(play(document, path)), aside)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                words = f"is not of a form that can be replayed: {type(error).__name__} {error}"
                raise UnreadableFile(words) from error
    raise UnreadableFile("has neither steps, entries nor exchanges")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 without differences, 1 with differences or an unreadable file, 2 without files."""
    if not arguments or any(each in ("-h", "--help") for each in arguments):
        sys.stderr.write("usage: python -m devtools.replay FILE…\n")
        return 2
    failed = False
    exceptions: dict[str, str] = {}
    for argument in arguments:
        try:
            what, found, aside = replay(Path(argument))
        except UnreadableFile as error:
            sys.stdout.write(f"{argument}: {' '.join(str(error).split())}\n")
            failed = True
        else:
            sys.stdout.write("\n  ".join((f"{argument}: {what}, {len(found)} differences", *found)) + "\n")
            failed = failed or bool(found)
            exceptions |= dict(aside)
    sys.stdout.writelines(f"not compared: {what}: {why}\n" for what, why in exceptions.items())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
