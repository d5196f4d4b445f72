"""Runs ministack with four changes.

1. Requests with OPTIONS reach the functions. ministack answers them itself; API Gateway only does so for an API with a CORS
   configuration, which ours has not: the functions answer preflights.
2. A lock around each change of a queue. Without it a message that one thread sends while another deletes can get lost.
3. Two worker Lambdas at most for each queue, because the template allows more than a development machine has cores for.
4. A request comes from the address that it names in `X-Forwarded-For`, so that tests can be many clients.
"""

import asyncio
import sys
import threading

from ministack.app import main
from ministack.services import apigateway, lambda_svc, sqs


class Options(str):
    """The method OPTIONS, which compares unequal to "OPTIONS", so that ministack forwards it like any other."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True


execute = apigateway._handle_execute_in_scope


async def execute_options_too(api_id, stage, path, method, *args, **kwargs):
    configured = (apigateway._apis.get(api_id) or {}).get("corsConfiguration")
    if method == "OPTIONS" and not configured:
        method = Options(method)
    return await execute(api_id, stage, path, method, *args, **kwargs)


apigateway._handle_execute_in_scope = execute_options_too

invoke = lambda_svc._execute_function_with_config_scope


def invoke_from_address(record, event, *args, **kwargs):
    if isinstance(event, dict) and (address := (event.get("headers") or {}).get("x-forwarded-for")):
        event["requestContext"]["http"]["sourceIp"] = address
    return invoke(record, event, *args, **kwargs)


lambda_svc._execute_function_with_config_scope = invoke_from_address

lock = sqs._queues_lock = threading.RLock()


def locked(function):
    def run(*args):
        with lock:
            return function(*args)

    return run


# A handler that waits for messages must not hold the lock meanwhile: it is the steps between the waits that are locked.
for action, handler in sqs._HANDLERS.items():
    if not asyncio.iscoroutinefunction(handler):
        sqs._HANDLERS[action] = locked(handler)
for step in ("_collect_msgs", "_dlq_sweep", "_expire_retained"):
    setattr(sqs, step, locked(getattr(sqs, step)))

lambda_svc._sqs_esm_concurrency = lambda *_: 2

sys.exit(main())
