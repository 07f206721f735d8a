"""Sign messages as Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
from pathlib import Path

from helios_agent.errors import ConfigError

PREFIX = "whsec_"
SHORTEST_SECRET_BYTES = 24


def read_secret(path: Path) -> bytes:
    """Return the key in a secret file ("whsec_" and base64). Raises ConfigError, never showing the secret."""
    if str(path).startswith(PREFIX):
        raise ConfigError("a webhook's secret_file is to name the file of the secret, not to be the secret")
    try:
        text = path.read_bytes().decode("ascii").strip()
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except OSError as error:
        raise ConfigError(f"{path}: the webhook secret cannot be read: {error.strerror}") from error
    except ValueError:
        raise ConfigError(f'{path}: the webhook secret is not "{PREFIX}" followed by base64') from None
    if len(key) < SHORTEST_SECRET_BYTES:
        raise ConfigError(
            f"{path}: the webhook secret has {len(key)} bytes; at least {SHORTEST_SECRET_BYTES} are needed"
        )
    return key


def headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that identify and sign one attempt at `timestamp` (seconds since 1970, UTC)."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
