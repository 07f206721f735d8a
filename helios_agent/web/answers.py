"""Long answers: written as JSON beside the loop, with a link to what follows."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

DEPTH = 2
"""Lists that stand no deeper are written an item at a time, so that no other thread waits for long."""


async def rendered(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON values as an answer."""
    body = await asyncio.to_thread(_json, value)
    return Response(body, media_type="application/json", headers=headers)


def further(request: Request, before: int | None) -> dict[str, str]:
    """Return the header that names the same request for what comes before an event; none for None."""
    if before is None:
        return {}
    query = request.url.include_query_params(before=before).query
    return {"link": f'<{request.url.path}?{query}>; rel="next"'}


def _json(value: Any, depth: int = DEPTH) -> bytes:
    if depth and isinstance(value, list):
        return b"[" + b",".join(_json(item, depth - 1) for item in value) + b"]"
    if depth and isinstance(value, dict):
        return b"{" + b",".join(_json(k, 0) + b":" + _json(v, depth - 1) for k, v in value.items()) + b"}"
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
