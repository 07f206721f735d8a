"""Links in messages with which whoever receives them answers a proposal, without the token.

A link is its own credential: an HMAC over what it answers, made with a key that is derived from the secret
of the endpoint that it is sent to. So no link stands in the journal, and a new secret voids the earlier ones.
"""

import hashlib
import hmac
from typing import Literal, get_args
from urllib.parse import urlencode

from helios_agent.clock import SECOND_US
from helios_agent.journal.journal import Event

PROPOSED = "intent.proposed"
LABEL = "helios/proposal-link/1"
"""Keeps the key of links apart from that of messages, and endpoints that share a secret from each other."""

Answer = Literal["approve", "reject"]


def made(public_url: str, endpoint: str, secret: bytes, event: Event) -> dict[str, str]:
    """Return what a message about a proposal carries besides: a URL for each answer to it."""
    intent_id, expires = event.payload["id"], event.payload["expires_us"] // SECOND_US
    links = {}
    for answer in get_args(Answer):
        signed = signature(endpoint, secret, intent_id, answer, expires)
        query = urlencode({"answer": answer, "expires": expires, "signature": signed})
        links[f"{answer}_url"] = f"{public_url.rstrip('/')}/proposals/{intent_id}?{query}"
    return links


def signature(endpoint: str, secret: bytes, intent_id: str, answer: Answer, expires: int) -> str:
    """Return the hex HMAC-SHA256 of a link that holds until `expires` (seconds since 1970, UTC)."""
    key = hmac.digest(secret, f"{LABEL}\n{endpoint}".encode(), hashlib.sha256)
    return hmac.new(key, f"{intent_id}\n{answer}\n{expires}".encode(), hashlib.sha256).hexdigest()
