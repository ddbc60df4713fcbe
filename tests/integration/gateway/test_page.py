"""Owns the claims about the page: it sounds in a real browser, from the preview on, and asks as it should."""

import asyncio
import hashlib
import math
import uuid
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import lameenc
import pytest
from playwright.async_api import Page, async_playwright, expect

from libs.common.database import Database
from libs.common.events import SegmentComplete, SegmentPreviewed
from libs.common.lifecycle import lock_run, move_segment, note_segment
from libs.common.objects import ObjectStore, open_objects
from services.gateway.app import make_app
from services.gateway.routes.sessions import user_of
from stack.embedded.install import browser
from tests.integration.gateway import world
from tests.integration.gateway.world import SECRET, Run, make_run, tell

BROWSER = uuid.UUID("7b0a9c1e-55d0-4a7e-9d55-0c1f3f1c2a10")
PRESETS = {
    "version": "1",
    "presets": [
        {"key": key, "order": n, "title": {"fr": f"Titre {n}", "en": f"Title {n}"}, "minutes": 20, "segmentsCount": 2}
        for n, key in enumerate(("universel-reset", "panique-anxiete"))
    ],
    "styles": [{"key": "piano", "title": {"fr": "Piano", "en": "Piano"}}],
    "emotions": [{"label": "fear", "title": {"fr": "peur", "en": "fear"}, "preset": "panique-anxiete"}],
    "suds": {
        "version": "1",
        "lowest": 0,
        "highest": 10,
        "question": {"fr": "À quel point… ?", "en": "How disturbed?"},
        "labels": {
            "0": {"fr": "calme", "en": "calm"},
            "5": {"fr": "moyen", "en": "moderate"},
            "10": {"fr": "le pire possible", "en": "the worst possible"},
        },
    },
}
CONTACT = {"id": "c", "country": "FR", "name": "Écoute", "number": "3114", "channel": "voice", "who": "w", "hours": "h"}


def mp3(seconds: float, hertz: float) -> bytes:
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(128)
    encoder.set_in_sample_rate(44100)
    encoder.set_channels(1)
    encoder.silence()
    samples = array("h", (int(9000 * math.sin(math.tau * hertz * n / 44100)) for n in range(int(44100 * seconds))))
    return bytes(encoder.encode(samples.tobytes()) + encoder.flush())


@pytest.fixture
async def files(shared_database: str, objects: Path, behind: world.Peer) -> AsyncIterator[ObjectStore]:
    async with open_objects(world.settings(shared_database, behind, objects)) as opened:
        yield opened


@pytest.fixture
async def site(shared_database: str, behind: world.Peer, objects: Path) -> AsyncIterator[str]:
    configured = world.settings(shared_database, behind, objects, demo_sessions=True)
    behind.will("GET", "/presets", 200, PRESETS)
    async with world.serving(make_app(configured)) as url:
        yield url


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    program = browser()
    assert program, "no Chromium: make setup-test"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        context = await chromium.new_context(locale="fr-FR")
        await context.add_init_script(f"localStorage.setItem('parcours.browser', '{BROWSER}')")
        opened = await context.new_page()
        opened.set_default_timeout(8000)
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        yield opened
        await chromium.close()
        assert complaints == []


async def _made(store: Database, behind: world.Peer, *, support_first: bool = False) -> Run:
    """A run of the page's user, and the answer with which create will name it."""
    run = await make_run(store, user_of(BROWSER, SECRET), preset_key="panique-anxiete")
    async with store.connection() as connection:
        seconds = {"seconds": 5, "file_seconds": 7}
        await connection.execute("UPDATE parcours_segments SET plan = $1 WHERE run_id = $2", seconds, run.id)
    answer: dict[str, Any] = {
        "runId": str(run.id),
        "notices": [{"code": "DRIVE", "text": "Jamais au volant."}],
        "contraindications": [{"code": "EPI", "text": "Épilepsie."}],
        "crisisContacts": [CONTACT],
        "estimate": {"firstSoundSeconds": 5, "readySeconds": 60},
        "supportFirst": support_first,
    }
    behind.will("POST", "/runs", 201, answer)
    return run


async def _preview(store: Database, files: ObjectStore, run: Run, index: int, content: bytes) -> None:
    await _put(files, f"previews/{run.segments[index]}-1.mp3", content)
    await _tell_preview(store, run, index)


async def _tell_preview(store: Database, run: Run, index: int) -> None:
    segment = run.segments[index]
    key = f"previews/{segment}-1.mp3"
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        await move_segment(connection, segment, "first")
        await note_segment(connection, segment, notes={"preview_path": key})
    await tell(
        store,
        run,
        SegmentPreviewed(run_id=run.id, segment_id=segment, attempt_id=uuid.uuid4(), preview_path=key),
    )


async def _final(store: Database, files: ObjectStore, run: Run, index: int, content: bytes) -> None:
    segment = run.segments[index]
    key = f"runs/{run.id}/{segment}.mp3"
    await _put(files, key, content)
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        await move_segment(connection, segment, "complete", storage_path=key, duration_seconds=7)
    done = SegmentComplete(
        run_id=run.id,
        segment_id=segment,
        attempt_id=uuid.uuid4(),
        storage_path=key,
        duration_seconds=7,
        size_bytes=len(content),
        sha256="0" * 64,
    )
    await tell(store, run, done)


async def _put(files: ObjectStore, key: str, content: bytes) -> None:
    digest = hashlib.sha256(content).digest()
    await files.put(key, content, content_type="audio/mpeg", sha256=digest, metadata={}, if_absent=True)


async def _until(page: Page, expression: str, seconds: float = 10) -> None:
    await page.wait_for_function(expression, timeout=seconds * 1000)


def heard(piece: str) -> str:
    return f"() => window.parcours.heard()['{piece}'] > -40"


async def test_a_run_started_by_click_sounds_from_the_preview_on_then_the_files_in_order(
    page: Page, site: str, store: Database, behind: world.Peer, files: ObjectStore
) -> None:
    run = await _made(store, behind)
    await page.goto(f"{site}/?probe=1")
    await page.get_by_label("Un mot pour le ressenti").select_option("fear")
    await expect(page.get_by_label("Parcours", exact=True)).to_have_value("panique-anxiete")  # suggested
    await page.get_by_label("Avec quelle force ?").select_option("0.8")
    await page.get_by_role("radio", name="8", exact=True).check()
    await page.get_by_role("button", name="Commencer").click()
    await expect(page.get_by_text("La musique se prépare")).to_be_visible()
    await expect(page.get_by_text("Jamais au volant.")).to_be_visible()
    await _preview(store, files, run, 0, mp3(4, 440))
    await _until(page, heard("0:preview"))
    assert await page.evaluate("() => window.parcours.firstSound()") < 10
    await _final(store, files, run, 0, mp3(7, 440))
    await _until(page, heard("0:final"))
    await _final(store, files, run, 1, mp3(5, 330))
    await _until(page, heard("1:final"))
    await expect(page.get_by_text("2 sur 2 prêtes")).to_be_visible()
    await _until(page, "() => window.parcours.state().finished", seconds=12)
    await expect(page.get_by_text("C'est la fin du parcours.")).to_be_visible()
    sent = next(heard for heard in behind.heard if heard.path == "/runs")
    assert b'"emotionState":"fear-0.8"' in sent.body
    assert b'"sudsStart":8' in sent.body


async def test_a_preview_that_ends_too_soon_goes_on_with_the_file_where_it_stopped(
    page: Page, site: str, store: Database, behind: world.Peer, files: ObjectStore
) -> None:
    run = await _made(store, behind)
    await page.goto(f"{site}/?probe=1")
    await page.get_by_role("button", name="Commencer").click()
    await _preview(store, files, run, 0, mp3(2, 440))
    await _until(page, heard("0:preview"))
    await expect(page.get_by_text("La suite arrive dans un instant")).to_be_visible()
    await _final(store, files, run, 0, mp3(7, 440))
    await _until(page, heard("0:final"))
    assert await page.evaluate("() => window.parcours.state().time") >= 1.9


async def test_a_preview_that_still_grows_sounds_before_its_end_is_known(
    page: Page, site: str, store: Database, behind: world.Peer
) -> None:
    run = await _made(store, behind)
    whole = mp3(12, 440)
    behind.growing[:] = [whole[: len(whole) // 3]]
    await page.goto(f"{site}/?probe=1")
    await page.get_by_role("button", name="Commencer").click()
    await _tell_preview(store, run, 0)
    await _until(page, heard("0:preview"))
    behind.growing.append(whole[len(whole) // 3 :])
    behind.finished.set()
    await _until(page, "() => window.parcours.state().time > 6", seconds=15)


async def test_at_a_very_hard_moment_the_contacts_come_before_the_music(
    page: Page, site: str, store: Database, behind: world.Peer, files: ObjectStore
) -> None:
    run = await _made(store, behind, support_first=True)
    await _preview(store, files, run, 0, mp3(8, 440))
    await page.goto(f"{site}/?probe=1")
    await page.get_by_role("radio", name="9", exact=True).check()
    await page.get_by_role("button", name="Commencer").click()
    await expect(page.get_by_role("link", name="3114")).to_be_visible()
    await asyncio.sleep(0.5)
    assert not await page.evaluate("() => window.parcours.state().sounding")
    await page.get_by_role("button", name="Continuer").click()
    await _until(page, heard("0:preview"))
    await page.get_by_role("button", name="Aide").click()
    await expect(page.get_by_role("link", name="3114")).to_be_visible()


async def test_the_scale_has_eleven_buttons_three_labels_and_no_choice_made(page: Page, site: str) -> None:
    await page.goto(site)
    radios = page.get_by_role("radio")
    await expect(radios).to_have_count(11)
    await expect(radios.first).to_have_attribute("aria-label", "0, calme")  # the words come with the presets
    assert await page.locator("input[name=suds]:checked").count() == 0
    names = [await radios.nth(index).get_attribute("aria-label") for index in range(11)]
    assert names == ["0, calme", *"1234", "5, moyen", *"6789", "10, le pire possible"]
    await radios.nth(3).check()
    await page.get_by_role("button", name="Passer cette question").click()
    assert await page.locator("input[name=suds]:checked").count() == 0
    await expect(page.get_by_text("Ce n'est pas un dispositif médical")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="How do you feel right now?")).to_be_visible()
    await expect(page.get_by_text("It is not a medical device")).to_be_visible()
    assert await page.evaluate("import('/assets/words.js').then((words) => words.missingWords())") == []


async def test_the_apis_page_draws_every_operation(page: Page, site: str) -> None:
    await page.goto(f"{site}/docs")
    await expect(page.get_by_role("heading", name="Parcours API")).to_be_visible()
    paths = await page.locator("summary code").all_text_contents()
    for path in ("/v1/runs", "/v1/runs/{run_id}/events", "/functions/v1/sign-track", "/callback"):
        assert path in paths
