"""A webhook on Restate: its ingress writes `POST /Callback/hear/send` to its log and answers; this handler takes it.

`hypercorn …:app`, one process.
"""

import restate

callback = restate.Service("Callback")


@callback.handler("hear")
async def hear(_ctx: restate.Context, _body: dict[str, object]) -> None:
    """Nothing: what is measured is that the webhook is kept."""


app = restate.app([callback])
