"""The page in a real browser, on a whole stack with the composer: a click, and music is heard."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from stack.embedded.install import browser
from tests import stacks
from tests.stacks import Stack

pytestmark = pytest.mark.renders

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PICTURE = os.environ.get("PARCOURS_PICTURE")  # where to keep the screenshot: docs/page.png


@pytest.fixture(scope="module")
def composing() -> Iterator[Stack]:
    with stacks.stack(file_seconds=46.0) as stack:
        yield stack


async def test_a_run_started_by_a_click_is_heard_within_seconds_and_shows_its_progress(
    composing: Stack, tmp_path: Path
) -> None:
    program = browser()
    assert program, "no Chromium: make setup-test installs it"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=program, args=[*FLAGS, "--autoplay-policy=no-user-gesture-required"]
        )
        page = await chromium.new_page(viewport={"width": 1000, "height": 1250}, locale="fr-FR")
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"{composing.url}/?probe=1")
        await page.get_by_label("Parcours", exact=True).select_option("panique-anxiete")
        await page.get_by_role("radio", name="8").check(force=True)
        began = time.monotonic()
        await page.get_by_role("button", name="Commencer").click()
        await page.wait_for_function("() => Object.values(window.parcours.heard()).some((level) => level > -50)")
        heard_after = time.monotonic() - began
        assert heard_after < stacks.FIRST_SOUND_SECONDS
        await page.wait_for_function("() => document.body.innerText.includes('premier son')", timeout=30_000)
        await page.wait_for_function(
            "() => (document.body.innerText.match(/prêt(?!e)/g) || []).length >= 2", timeout=120_000
        )
        await page.screenshot(path=PICTURE or tmp_path / "page.png", full_page=True)
        assert problems == []
        await chromium.close()
