"""Owns the endpoints for who runs the simulator: the ledger, the switches of faults, a new beginning, the live page."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stack.simulators.suno.api import reply
from stack.simulators.suno.faults import FaultError
from stack.simulators.suno.page import PAGE, picture
from stack.simulators.suno.reseller import Reseller


@dataclass
class Control:
    """One method an endpoint under `/_sim`."""

    reseller: Reseller

    async def ledger(self, request: Request) -> Response:
        del request
        return reply(self.reseller.report())

    async def show_faults(self, request: Request) -> Response:
        del request
        return reply({"faults": self.reseller.faults.shown()})

    async def switch_faults(self, request: Request) -> Response:
        """Replace them, or add with `?add=1`; 422 tells what was wrong, and nothing is changed then."""
        try:
            posted = await request.json()
            entries = posted.get("faults") if isinstance(posted, dict) else None
            self.reseller.faults.replace(entries, add=request.query_params.get("add", "0") not in ("", "0"))
        except (ValueError, FaultError) as error:
            return reply({"error": str(error)}, 422)
        return self._switched()

    async def clear_faults(self, request: Request) -> Response:
        del request
        self.reseller.faults.clear()
        return self._switched()

    async def reset(self, request: Request) -> Response:
        del request
        self.reseller.reset()
        return reply({"ok": True})

    async def state(self, request: Request) -> Response:
        del request
        return reply(picture(self.reseller))

    async def page(self, request: Request) -> Response:
        del request
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"cache-control": "no-store"})

    def _switched(self) -> Response:
        self.reseller.settle_balances()
        faults = self.reseller.faults.shown()
        self.reseller.ledger.note("faults", faults=faults)
        return reply({"faults": faults})
