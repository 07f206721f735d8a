"""The HTTP door: API, metrics and the page that a person reads."""
