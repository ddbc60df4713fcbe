"""The simulator's live page in a real browser: what happens is seen, and a switch switches."""

import asyncio

import httpx
from playwright.async_api import async_playwright

from stack.embedded.install import browser
from stack.simulators.suno import Settings, serving

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
BODY = {"customMode": True, "instrumental": True, "model": "V5_5", "style": "pads", "title": "A quiet <shore> 1/6"}


async def test_the_page_shows_calls_and_refusals_and_switches_a_fault_on_and_off() -> None:
    program = browser()
    assert program, "no Chromium: make setup-test installs it"
    async with (
        serving(Settings(speed=5.0, reply_delay=(0.0, 0.0), callbacks="none")) as simulator,
        httpx.AsyncClient(
            base_url=simulator.origin, headers={"Authorization": "Bearer any"}, trust_env=False
        ) as caller,
        async_playwright() as playwright,
    ):
        chromium = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        page = await chromium.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(simulator.origin)
        await page.get_by_role("switch", name="hang").click()
        async with asyncio.timeout(10):
            while [fault.name for fault in simulator.reseller.faults.faults] != ["hang"]:
                await asyncio.sleep(0.02)
        await page.get_by_role("button", name="All off").click()
        async with asyncio.timeout(10):
            while simulator.reseller.faults.faults:
                await asyncio.sleep(0.02)
        for _ in range(22):
            await caller.post("/api/v1/generate", json=BODY | {"callBackUrl": "http://127.0.0.1:9/"})
        await page.get_by_text("430 × 2").wait_for(timeout=10_000)
        assert await page.get_by_text("A quiet <shore> 1/6").count() == 20
        assert await page.locator("circle").count() == 22
        assert problems == []
        await chromium.close()
