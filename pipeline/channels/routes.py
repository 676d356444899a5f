"""Which accounts may serve a notification, in which order, and the parts that each makes of it."""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from pipeline.channels.base import ChannelSender, Part, Refused
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Reason
from pipeline.providers.account import Account
from pipeline.users.snapshot import Device, UserSnapshot

ChannelAccount = Account[ChannelSender]


class Route:
    """The accounts for some parts of one notification, in the order in which they are called.

    `view` is the user with those devices only that these accounts reach. An account's parts are made when it is first
    needed.
    """

    __slots__ = ("_parts", "accounts", "view")

    def __init__(self, accounts: Sequence[ChannelAccount], view: UserSnapshot) -> None:
        self.accounts = accounts
        self.view = view
        self._parts: dict[ChannelAccount, Mapping[str, Part]] = {}

    def parts(self, account: ChannelAccount, dispatch: Dispatch) -> Mapping[str, Part]:
        """By key.

        Raises:
            Refused: it cannot be built for this account.
        """
        made = self._parts.get(account)
        if made is None:
            made = self._parts[account] = {part.key: part for part in account.sender.prepare(dispatch, self.view)}
        return made

    def builds(self, account: ChannelAccount, dispatch: Dispatch) -> bool:
        """Whether this account can take it at all (it may be too large for one and not for another)."""
        try:
            self.parts(account, dispatch)
        except Refused:
            return False
        return True

    def part(self, account: ChannelAccount, dispatch: Dispatch, key: str) -> Part:
        """As this account has it, which builds it."""
        return self.parts(account, dispatch)[key]

    def first_part(self, key: str) -> Part:
        """As the account has it that was asked first."""
        return next(iter(self._parts.values()))[key]


def route_of(part: Part) -> Route:
    """The route of a part that comes from `Routes.prepare`."""
    assert isinstance(part.payload, Route), "parts come from `ChainSender.prepare`"
    return part.payload


class Routes:
    """Finds routes among `accounts`; they are in order of failover."""

    def __init__(self, accounts: Sequence[ChannelAccount]) -> None:
        self._accounts = accounts
        self._by_device = any(account.reaches for account in accounts)
        self._weighted = any(account.weight for account in accounts)
        self._serving = lru_cache(maxsize=1000)(self._find)

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """The parts as the first account of each route has them that can build it.

        What one account refuses, the next one may still take: it may have a sender for that country, or more room. What
        one route refuses, another may.

        Raises:
            Refused: no account can build it; what the first one said.
        """
        parts: list[Part] = []
        refusals: list[Refused] = []
        for route in self._of(dispatch, user):
            try:
                made = route.parts(route.accounts[0], dispatch)
            except Refused as refused:
                refusals.append(refused)
                if (others := _building(route, dispatch)) is None:
                    continue
                route, made = others, others.parts(others.accounts[0], dispatch)  # noqa: PLW2901
            parts += [Part(key=key, payload=route) for key in made]
        if not parts:
            raise refusals[0] if refusals else Refused(Reason.NO_ADDRESS, "no account serves the user's devices")
        return parts

    def _of(self, dispatch: Dispatch, user: UserSnapshot) -> list[Route]:
        serving = self._serving(dispatch.stream, dispatch.category)
        if not serving:
            raise Refused(
                Reason.PROVIDER_CONFIGURATION,
                f"no account of {dispatch.channel}.providers serves stream {dispatch.stream!r}, "
                f"category {dispatch.category!r}",
            )
        accounts = in_order(serving, dispatch.notification_id) if self._weighted else serving
        if not self._by_device or not user.devices:
            return [Route(accounts, user)]
        return [Route(group, _only(user, devices)) for group, devices in by_device(accounts, user.devices).items()]

    def _find(self, stream: str, category: str) -> tuple[ChannelAccount, ...]:
        return tuple(account for account in self._accounts if account.serves(stream, category))


def in_order(accounts: tuple[ChannelAccount, ...], notification_id: str) -> tuple[ChannelAccount, ...]:
    """The first by weight, the same for the same notification whenever it is asked; then the others as they stand."""
    total = sum(account.weight for account in accounts)
    if not total or len(accounts) == 1:
        return accounts
    point = zlib.crc32(notification_id.encode()) % total
    for account in accounts:
        point -= account.weight
        if point < 0:
            return (account, *(other for other in accounts if other is not account))
    raise AssertionError("a point below the sum of the weights lies within one of them")


def by_device(
    accounts: tuple[ChannelAccount, ...], devices: Sequence[Device]
) -> dict[tuple[ChannelAccount, ...], list[Device]]:
    """The devices by the accounts that reach them; a device that none reaches is left out."""
    groups: dict[tuple[ChannelAccount, ...], list[Device]] = {}
    for device in devices:
        group = tuple(a for a in accounts if a.reaches is None or a.reaches(device))
        if group:
            groups.setdefault(group, []).append(device)
    return groups


def _building(route: Route, dispatch: Dispatch) -> Route | None:
    """The route from the first account on that can build it, which is not the very first; None: no other can."""
    for position in range(1, len(route.accounts)):
        rest = Route(route.accounts[position:], route.view)
        if rest.builds(rest.accounts[0], dispatch):
            return rest
    return None


def _only(user: UserSnapshot, devices: list[Device]) -> UserSnapshot:
    return msgspec.structs.replace(user, devices=devices)
