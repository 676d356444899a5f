"""The Redis keys of a user carry one hash tag, so that all of them lie in one slot of a cluster."""


def hash_tag(user_id: str) -> str:
    """``{user_id}``: Redis hashes what stands between the first ``{`` of a key and the ``}`` after it.

    Nothing in between, as an id that begins with ``}`` would give, hashes the whole key, and would scatter that user's
    keys: such an id, and one that could be mistaken for it then, has a ``%`` before it.
    """
    return f"{{%{user_id}}}" if user_id[:1] in ("", "}", "%") else f"{{{user_id}}}"
