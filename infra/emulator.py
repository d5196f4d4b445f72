"""Runs ministack with three things mended.

1. It answers OPTIONS itself, where API Gateway asks the route unless the API has a CORS configuration of its own (ours has
   none: the functions answer preflights).
2. Two of its threads change its queues and share no lock: what one sends while the other deletes can get lost.
3. It runs as many Lambdas for a queue as the template allows: more than this machine has cores for.
"""

import asyncio
import sys
import threading

from ministack.app import main
from ministack.services import apigateway, lambda_svc, sqs


class Options(str):
    """The method, not recognised by the comparison that would answer it."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True


answer = apigateway._handle_execute_in_scope


async def ask_the_route(api_id, stage, path, method, *rest, **more):
    configured = (apigateway._apis.get(api_id) or {}).get("corsConfiguration")
    if method == "OPTIONS" and not configured:
        method = Options(method)
    return await answer(api_id, stage, path, method, *rest, **more)


apigateway._handle_execute_in_scope = ask_the_route

lock = sqs._queues_lock = threading.RLock()


def locked(change):
    def run(*arguments):
        with lock:
            return change(*arguments)

    return run


for action, handler in sqs._HANDLERS.items():
    if not asyncio.iscoroutinefunction(handler):
        sqs._HANDLERS[action] = locked(handler)
# The steps of receiving, between which it may wait.
for step in ("_collect_msgs", "_dlq_sweep", "_expire_retained"):
    setattr(sqs, step, locked(getattr(sqs, step)))

lambda_svc._sqs_esm_concurrency = lambda *_: 2

sys.exit(main())
