import base64
import hashlib
import hmac
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from helios_agent.errors import ConfigError
from helios_agent.notify import signing

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = '{"text":"Öffnung\\n"}'.encode()


def test_the_standards_own_library_accepts_the_signature() -> None:
    headers = signing.headers(KEY, "msg_1", int(time.time()), BODY)
    assert Webhook(SECRET).verify(BODY, headers) == {"text": "Öffnung\n"}


@pytest.mark.parametrize("change", [{"webhook-id": "msg_2"}, {"webhook-timestamp": None}, {}])
def test_it_accepts_nothing_that_was_changed_on_the_way(change: dict[str, str | None]) -> None:
    now = int(time.time())
    headers = signing.headers(KEY, "msg_1", now, BODY)
    headers |= {name: value or str(now - 1) for name, value in change.items()}
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(SECRET).verify(BODY if change else BODY + b" ", headers)


def test_the_signature_can_be_computed_by_hand() -> None:
    digest = hmac.new(KEY, b"msg_1.1790000000." + BODY, hashlib.sha256).digest()
    assert signing.headers(KEY, "msg_1", 1_790_000_000, BODY) == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1790000000",
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize("text", [SECRET, SECRET + "\n", SECRET.removeprefix("whsec_")])
def test_a_secret_is_read_with_or_without_prefix_and_line_end(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(text)
    assert signing.read_secret(tmp_path / "secret") == KEY


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"whsec_c2hvcnQ=", "the webhook secret has 5 bytes; at least 24 are needed"),
        (b"", "the webhook secret has 0 bytes; at least 24 are needed"),
        (b"whsec_not base64!", 'the webhook secret is not "whsec_" followed by base64'),
        ("whsec_gehëim".encode(), 'the webhook secret is not "whsec_" followed by base64'),
        (b"\xff\x00", 'the webhook secret is not "whsec_" followed by base64'),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_by_the_name_of_its_file(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        signing.read_secret(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none: the webhook secret cannot be read: No such file or directory"
    ):
        signing.read_secret(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"the webhook secret cannot be read: Is a directory"):
        signing.read_secret(tmp_path)


def test_a_secret_given_for_its_file_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        signing.read_secret(Path(SECRET))
    assert (
        str(caught.value) == "a webhook's secret_file is to name the file of the secret, not to be the secret"
    )
