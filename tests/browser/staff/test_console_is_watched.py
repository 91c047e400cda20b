"""What would be red in the browser's console fails a test."""

from __future__ import annotations

import pytest

from tests.support.chromium import Page


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("document.head.append(Object.assign(document.createElement('script'), {textContent: '1'}))", "script-src"),
        ("document.body.setAttribute('style', 'color: red')", "style-src"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x'}))", "img-src"),
        ("console.error('something is wrong')", "something is wrong"),
        ("setTimeout(() => { throw new Error('thrown') })", "Uncaught"),
        ("fetch('/admin/nothing/')", "404"),
    ],
    ids=["script", "style", "image", "error", "exception", "missing"],
)
def test_what_is_red_is_a_complaint(page: Page, script: str, complaint: str) -> None:
    page.run(f"Promise.resolve({script}).then(() => new Promise((done) => setTimeout(done, 50)))")
    assert complaint in " ".join(page.take_complaints())
