from typing import Any

from helios_agent.config import Config, diff


def watching(url: str) -> Config:
    feeds = [{"name": "data", "kind": "socrata", "url": url}]
    return Config.model_validate({"games": {"powerball": {"feeds": feeds}}})


def shown(old: str, new: str) -> dict[str, list[Any]]:
    return diff.changes(watching(old), watching(new))


def test_of_an_address_only_scheme_host_and_path_are_shown() -> None:
    old, new = "https://me:SECRET@a.test:8443/x.json?$$app_token=SECRET", "https://b.test/@y?a=1#SECRET"
    assert shown(old, new) == {
        "games.powerball.feeds.data.url": ["https://a.test:8443/x.json", "https://b.test/@y"]
    }


def test_an_address_of_which_only_the_secret_part_differs_has_changed() -> None:
    assert shown("https://a.test/x?token=OLD", "https://a.test/x?token=NEW") == {
        "games.powerball.feeds.data.url": ["https://a.test/x", "https://a.test/x"]
    }
