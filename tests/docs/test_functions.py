"""The guide's table of functions and the contract's functions that write are one."""

import re

from ajo.api.guide import FOLDER
from ajo.soroban.contract.functions import WRITES


def test_the_guide_lists_each_function_with_its_arguments_and_its_result() -> None:
    section = (FOLDER / "writing.md").read_text().partition("\n## Functions\n")[2].partition("\n## ")[0]
    table, _, types = section.partition("| type |")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (\w+) \|$", table, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(WRITES)
    for name, args, result in rows:
        function = WRITES[name]
        listed = [] if args == "none" else [tuple(each.split(" ")) for each in args.split(", ")]
        assert listed == [(f"`{arg}`", codec.name) for arg, codec in function.args.items()], name
        assert result == ("null" if function.result.name == "void" else function.result.name), name
    used = {codec.name for function in WRITES.values() for codec in function.args.values()}
    said = re.findall(r"^\| ([a-z0-9, ]+) \|", types, re.MULTILINE)
    assert {each for line in said for each in line.split(", ")} == used
