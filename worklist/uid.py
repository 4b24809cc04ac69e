"""New UIDs. [service]"""

from uuid import uuid4


def new_uid() -> str:
    """A UID under 2.25, from a random UUID (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"
