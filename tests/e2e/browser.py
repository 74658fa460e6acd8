"""A headless Chromium that looks at pages as a user would."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium")
WIDTH, HEIGHT = 1500, 1300
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium to look at pages with: apt-get install chromium"
)


@contextmanager
def page(within_s):
    """Yields a page, and a list of what it asks for elsewhere than on this machine."""
    from playwright.sync_api import sync_playwright

    asked = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        shown.set_default_timeout(within_s * 1000)
        shown.on("request", lambda request: asked.append(request.url))
        try:
            yield shown, asked
            if "SCREENSHOTS" in os.environ:  # a folder, for whoever wants to see what was seen
                name = os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split(" ")[0]
                shown.screenshot(path=f"{os.environ['SCREENSHOTS']}/{name}.png", full_page=True)
        finally:
            browser.close()
