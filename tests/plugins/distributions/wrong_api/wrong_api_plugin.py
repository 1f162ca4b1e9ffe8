"""Written for contract versions that this avatarkit does not have."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_editors() -> Iterable[Provider]:
    yield Provider("future", "wrong_api_plugin:Nothing", "from a later time", api=99)
    yield Provider("past", "wrong_api_plugin:Nothing", "from an earlier time", api=0)
    yield Provider("present", "wrong_api_plugin:Nothing", "fits")
