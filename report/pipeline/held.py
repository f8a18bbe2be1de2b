"""What a worker process holds from its start: the pickled classifier, which it loads if it is asked to."""

_content: bytes | None = None


def hold(content: bytes | None) -> None:
    """Keep the bytes in this process."""
    global _content
    _content = content


def content() -> bytes:
    """Return the bytes that this process holds."""
    assert _content is not None, "the process was started with a classifier"
    return _content
