"""Owns the reseller's endpoints: what a call is answered, and when; decisions are `reseller`'s, shapes `wire`'s."""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from stack.simulators.suno import kie, wire
from stack.simulators.suno.faults import Fault
from stack.simulators.suno.replies import Dropped, Unanswered
from stack.simulators.suno.reseller import Product, Reseller, case_of
from stack.simulators.suno.rules import Order, RefusedError
from stack.simulators.suno.tasks import Account, Task

_BOT: Final = re.compile(r"(python|curl|wget|okhttp|go-http|java|node|axios)", re.IGNORECASE)
_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p>"
    "<p>cloudflare</p></body></html>"
)
_TITLES: Final = {403: "Access denied", 502: "Bad gateway", 503: "Service unavailable", 504: "Gateway time-out"}


def reply(content: object, status: int = 200, retry_after: float | None = None) -> Response:
    headers = None if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Response(orjson.dumps(content), status, headers, "application/json")


@dataclass
class Api:
    """One method an endpoint."""

    reseller: Reseller

    async def generate(self, request: Request) -> Response:
        return await self._submit(request, "music")

    async def create_task(self, request: Request) -> Response:
        return await self._submit(request, "jobs")

    async def record_info(self, request: Request) -> Response:
        return self._poll(request, "music")

    async def job_info(self, request: Request) -> Response:
        return self._poll(request, "jobs")

    async def credit(self, request: Request) -> Response:
        account = self._enter(request)
        return account if isinstance(account, Response) else reply(wire.envelope(200, "success", account.credits))

    async def unknown(self, request: Request) -> Response:
        """A bad path or method."""
        del request
        return reply(wire.envelope(self.reseller.codes["unknown"], wire.TEXTS["unknown"]))

    def _enter(self, request: Request) -> Account | Response:
        """Whose call it is, or what to answer to a stranger."""
        reseller = self.reseller
        if not reseller.settings.origin:
            reseller.seen_at(str(request.base_url).rstrip("/"))
        if reseller.settings.refuse_bots and _BOT.match(request.headers.get("user-agent", "")):
            reseller.ledger.refuse(None, 403, None)
            return _without_envelope(403, html=True)
        account = reseller.account(request.headers.get("authorization", ""))
        if account is None:
            return self._refuse(None, RefusedError("key", wire.TEXTS["key"]))
        return account

    async def _submit(self, request: Request, product: Product) -> Response:
        account = self._enter(request)
        if isinstance(account, Response):
            return account
        reseller = self.reseller
        order, refusal = self._order(_decoded(await request.body()), product)
        fault = reseller.faults.first("submit", case_of(account, order))
        if fault is not None and fault.name == "hang":
            reseller.ledger.leave_unanswered(account.name, fault.name)
            return Unanswered()
        delay = reseller.delays.uniform(*reseller.settings.reply_delay)
        await reseller.clock.sleep(delay / 2)
        title = order.title if order else ""
        answer = self._refused_by(account, fault, title)
        if answer is None and refusal is not None:
            answer = self._refuse(account, refusal)
            _spare(fault)
        if answer is None and order is not None:
            return await self._accept(account, order, product, fault, delay / 2)
        await reseller.clock.sleep(delay / 2)
        return answer or await self.unknown(request)

    async def _accept(
        self, account: Account, order: Order, product: Product, fault: Fault | None, rest: float
    ) -> Response:
        """The stamp, in the middle of the delay; then what the caller hears of it."""
        reseller = self.reseller
        at_once = fault["stage"] if fault is not None and fault.name == "callback_before_reply" else None
        try:
            task, plan = reseller.accept(account, order, product, at_once)
        except RefusedError as error:
            answer = self._refuse(account, error, order.title)
            _spare(fault)
            await reseller.clock.sleep(rest)
            return answer
        if fault is not None:
            task.struck_by(fault.name)
        told_at_once = plan.steps and plan.steps[0].at == 0 and (product == "music" or at_once == "complete")
        if at_once is not None and told_at_once:
            await reseller.courier.first_letter(task)
        late = fault["seconds"] if fault is not None and fault.name == "slow_reply" else 0.0
        await reseller.clock.sleep(rest + late)
        if fault is not None and fault.name == "reply_lost":
            reseller.ledger.leave_unanswered(account.name, fault.name, task.task_id)
            return Dropped()
        if fault is not None and fault.name == "http_error":
            return _without_envelope(fault["status"], html=fault["html"], retry_after=fault["retry_after"])
        return reply(wire.envelope(200, "success", {"taskId": task.task_id}))

    def _order(self, body: object, product: Product) -> tuple[Order | None, RefusedError | None]:
        try:
            return self.reseller.read(body, product), None
        except RefusedError as error:
            return None, error

    def _refused_by(self, account: Account, fault: Fault | None, title: str) -> Response | None:
        """The answer of a fault that refuses; None when it is another one or none."""
        ledger = self.reseller.ledger
        if fault is not None and fault.name == "code":
            ledger.refuse(account.name, fault["http"], fault["code"], title)
            text = fault["msg"] or f"refused with {fault['code']}"
            return reply(wire.envelope(fault["code"], text), fault["http"], fault["retry_after"])
        if fault is not None and fault.name == "http_error" and not fault["accepted"]:
            ledger.refuse(account.name, fault["status"], None, title)
            return _without_envelope(fault["status"], html=fault["html"], retry_after=fault["retry_after"])
        return None

    def _refuse(self, account: Account | None, error: RefusedError, title: str = "") -> Response:
        code = self.reseller.codes[error.why]
        self.reseller.ledger.refuse(account.name if account else None, 200, code, title)
        return reply(wire.envelope(code, str(error)))

    def _poll(self, request: Request, product: Product) -> Response:
        account = self._enter(request)
        if isinstance(account, Response):
            return account
        reseller = self.reseller
        try:
            task = reseller.poll(account, request.query_params.get("taskId", ""))
        except RefusedError as error:
            return reply(wire.envelope(reseller.codes[error.why], str(error)))
        fault = reseller.faults.first("poll", task.case(), "poll_error")
        if fault is not None and fault["code"] is not None:
            return reply(wire.envelope(fault["code"], "record-info failed"), fault["status"])
        if fault is not None:
            return _without_envelope(fault["status"], html=False)
        return reply(wire.envelope(200, "success", self._record(task, product)))

    def _record(self, task: Task, product: Product) -> dict[str, Any]:
        reseller = self.reseller
        if product == "music":
            return wire.record(task, reseller.origin)
        fault = reseller.faults.first("poll", task.case(), "result_json") if task.done else None
        return kie.record(task, reseller.origin, fault["how"] if fault else reseller.settings.result_json)


def _spare(fault: Fault | None) -> None:
    """A fault of accepted calls has not struck a call that was refused."""
    if fault is not None:
        fault.used -= 1


def _without_envelope(status: int, *, html: bool, retry_after: float | None = None) -> Response:
    """What a proxy in front of the reseller says, not the reseller."""
    title = _TITLES.get(status, "Error")
    if not html:
        return reply({"status": status, "error": title}, status, retry_after)
    text = "error code: 1010" if status == 403 else f"error code: {status}"  # noqa: PLR2004 - agent refused
    headers = None if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Response(_PAGE.format(title=title, text=text), status, headers, "text/html")


def _decoded(body: bytes) -> object:
    try:
        content: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content
