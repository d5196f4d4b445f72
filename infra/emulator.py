"""Runs ministack with one fault mended: it answers OPTIONS itself, where API Gateway asks the route unless the API has a
CORS configuration of its own (ours has none: the functions answer preflights)."""

import sys

from ministack.app import main
from ministack.services import apigateway


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
sys.exit(main())
