"""axe-core, which finds what people with a screen reader, without a mouse or with weak eyes cannot use on a page.

npm installs it with what compiles the TypeScript (`make browser` does).
"""

from __future__ import annotations

import json
from typing import Final

from ajo.settings import BASE_DIR
from tests.support.chromium import Page

SOURCE: Final = BASE_DIR / "devtools" / "typescript" / "node_modules" / "axe-core" / "axe.min.js"


def findings(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds on the page as it is, a line each: how bad, the rule, where, and why.

    `rules`: those that are asked; axe-core's usual ones where none is given.
    """
    page.expect_no_complaints()
    page.settle()
    if not page.run("Boolean(window.axe)"):
        page.run(SOURCE.read_text() + "; 1")
    options: dict[str, object] = {"resultTypes": ["violations"]} | (
        {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    )
    found = page.run(
        f"axe.run({json.dumps(options)}).then(({{ violations }}) => violations"
        ".flatMap((each) => each.nodes.map((node) =>"
        " `${each.impact} ${each.id}: ${node.target.join(' ')} | ${node.failureSummary.replace(/\\s+/g, ' ')}`)))"
    )
    page.take_complaints()  # axe-core tries inline styles, which our policy refuses
    return [str(line) for line in found]
