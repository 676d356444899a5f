"""What aioapns's protocol does wrong, seen on the wire, and that ours does it right. Each scenario runs with both.

Where the bare protocol passes one day, its mend can go.
"""

import asyncio
import json
import ssl
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from aioapns import NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol, APNsTLSClientProtocol
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from yarl import URL

from pipeline.providers.apns_http2 import AnswerLost, NotProcessed, request_headers
from pipeline.providers.apns_pool import ApnsPool, Unreachable, tls_context
from pipeline.providers.apns_protocol import ApnsProtocol
from pipeline.testing.http2 import Handle, Http2Request, Http2Server
from pipeline.testing.tls import LocalCertificate

TOKEN = "ab" * 32
GONE = json.dumps({"reason": "Unregistered", "timestamp": 1_700_000_000_000}).encode()
SOON = 0.5
P = TypeVar("P", bound=APNsTLSClientProtocol)
BARE, MENDED = APNsProductionClientProtocol, ApnsProtocol


class Quick(ApnsProtocol):
    ANSWER_TIMEOUT = SOON


@pytest.fixture
def certificate(tmp_path: Path) -> LocalCertificate:
    return LocalCertificate(tmp_path)


async def connect(protocol: type[P], server: Http2Server, certificate: LocalCertificate) -> P:
    loop = asyncio.get_running_loop()
    tls = tls_context(str(certificate.path))
    _, connection = await loop.create_connection(lambda: protocol("com.example.app"), "127.0.0.1", server.port, ssl=tls)
    if isinstance(connection, ApnsProtocol):
        await asyncio.wait_for(connection.ready.wait(), 5)
    else:
        await asyncio.sleep(0.05)
    return connection


def notification(text: str = "hello") -> NotificationRequest:
    return NotificationRequest(TOKEN, {"aps": {"alert": text}}, str(uuid.uuid4()), push_type=PushType.ALERT)


async def outcome(sending: Awaitable[object], within: float = 2 * SOON) -> str:
    """ "answer", the error's name, or "hangs"."""
    try:
        await asyncio.wait_for(sending, within)
    except TimeoutError:
        return "hangs"
    except Exception as error:  # noqa: BLE001 - its name is what is asked for
        return type(error).__name__
    return "answer"


async def scenario(
    protocol: type[APNsTLSClientProtocol], handle: Handle, certificate: LocalCertificate, sends: int = 1
) -> list[str]:
    """How each of `sends` sends on one connection ended, one after the other."""
    async with Http2Server(handle, certificate.server_context(["h2"])) as server:
        connection = await connect(protocol, server, certificate)
        return [await outcome(connection.send_notification(notification())) for _ in range(sends)]


def apns_id(request: Http2Request) -> dict[str, str]:
    return {"apns-id": request.headers["apns-id"]}


async def accept(request: Http2Request) -> None:
    request.answer(200, apns_id(request))


async def two_frames(request: Http2Request) -> None:
    request.answer(410, apns_id(request), [GONE[:20], GONE[20:]])


async def empty_end(request: Http2Request) -> None:
    request.answer(410, apns_id(request), [GONE, b""])


async def no_body(request: Http2Request) -> None:
    request.answer(503, apns_id(request))


async def reset(request: Http2Request) -> None:
    request.reset(ErrorCodes.INTERNAL_ERROR)


async def refused(request: Http2Request) -> None:
    request.reset(ErrorCodes.REFUSED_STREAM)


async def silence(request: Http2Request) -> None:
    del request


@pytest.mark.parametrize("protocol", [BARE, MENDED])
async def test_the_plain_case_works_with_both(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol]
) -> None:
    assert await scenario(protocol, accept, certificate, 3) == ["answer"] * 3


@pytest.mark.parametrize(
    ("protocol", "expected"), [(BARE, ["ConnectionClosed", "ConnectionClosed"]), (MENDED, ["answer", "answer"])]
)
@pytest.mark.parametrize("answer", [two_frames, empty_end])
async def test_an_answer_in_several_data_frames_does_not_kill_the_connection(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: list[str], answer: Handle
) -> None:
    ended = await scenario(protocol, answer, certificate, 2)
    if protocol is BARE:
        assert "answer" not in ended[1:]
    else:
        assert ended == expected


@pytest.mark.parametrize(("protocol", "expected"), [(BARE, "hangs"), (MENDED, "answer")])
async def test_an_error_without_a_body_is_an_answer(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: str
) -> None:
    assert await scenario(protocol, no_body, certificate) == [expected]


@pytest.mark.parametrize(("protocol", "expected"), [(BARE, "hangs"), (MENDED, "AnswerLost")])
async def test_a_reset_stream_ends_its_send(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: str
) -> None:
    assert await scenario(protocol, reset, certificate) == [expected]


@pytest.mark.parametrize(("protocol", "expected"), [(BARE, "hangs"), (MENDED, "NotProcessed")])
async def test_a_refused_stream_was_certainly_not_processed(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: str
) -> None:
    assert await scenario(protocol, refused, certificate) == [expected]


@pytest.mark.parametrize(("protocol", "expected"), [(BARE, "hangs"), (Quick, "AnswerLost")])
async def test_the_wait_for_an_answer_is_bounded(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: str
) -> None:
    async with Http2Server(silence, certificate.server_context(["h2"])) as server:
        connection = await connect(protocol, server, certificate)
        assert await outcome(connection.send_notification(notification()), 3 * SOON) == expected


@pytest.mark.parametrize(("protocol", "answered"), [(BARE, False), (MENDED, True)])
async def test_a_connection_survives_more_error_answers_than_flow_control_has_room_for(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], answered: bool
) -> None:
    """65,535 bytes of one connection, at 52 an answer: the bare protocol stalls after about 1,260."""

    async def gone(request: Http2Request) -> None:
        request.answer(410, apns_id(request), [GONE])

    async with Http2Server(gone, certificate.server_context(["h2"])) as server:
        connection = await connect(protocol, server, certificate)
        for _ in range(13):
            await asyncio.wait_for(
                asyncio.gather(*(outcome(connection.send_notification(notification()), 5) for _ in range(100))), 30
            )
        assert (await outcome(connection.send_notification(notification())) == "answer") is answered


async def test_the_bare_protocol_leaves_an_entry_behind_for_each_send_and_ours_does_not(
    certificate: LocalCertificate,
) -> None:
    async with Http2Server(accept, certificate.server_context(["h2"])) as server:
        bare = await connect(BARE, server, certificate)
        mended = await connect(MENDED, server, certificate)
        for connection in (bare, mended):
            for _ in range(20):
                await connection.send_notification(notification())
        assert len(bare.request_streams) == 20
        assert (len(mended._exchanges), len(mended.request_streams), len(mended.requests)) == (0, 0, 0)
        mended._look_at_clock()
        assert not mended._deadlines


async def test_headers_of_an_answer_are_kept(certificate: LocalCertificate) -> None:
    async def throttle(request: Http2Request) -> None:
        request.answer(429, {**apns_id(request), "retry-after": "7"}, [b'{"reason":"TooManyRequests"}'])

    async with Http2Server(throttle, certificate.server_context(["h2"])) as server:
        connection = await connect(MENDED, server, certificate)
        answer = await connection.request(request_headers("localhost", TOKEN, {"apns-id": str(uuid.uuid4())}), b"{}")
        assert (answer.status, answer.header("retry-after")) == (429, "7")
        bare = await connect(BARE, server, certificate)
        result = await bare.send_notification(notification())
        assert not hasattr(result, "headers"), "aioapns keeps them now"


@pytest.mark.parametrize(
    ("protocol", "expected"), [(BARE, ["ConnectionClosed"] * 2), (MENDED, ["NotProcessed", "answer"])]
)
async def test_goaway_lets_the_streams_that_it_names_be_answered(
    certificate: LocalCertificate, protocol: type[APNsTLSClientProtocol], expected: list[str]
) -> None:
    held: list[Http2Request] = []

    async def hold(request: Http2Request) -> None:
        held.append(request)
        if len(held) == 2:
            first, second = sorted(held, key=lambda request: request.stream_id)
            first.connection.go_away(first.stream_id, b'{"reason":"Shutdown"}')
            await asyncio.sleep(0.05)
            first.answer(200, apns_id(first))
            del second

    async with Http2Server(hold, certificate.server_context(["h2"])) as server:
        connection = await connect(protocol, server, certificate)
        ended = await asyncio.gather(*(outcome(connection.send_notification(notification())) for _ in range(2)))
        assert sorted(ended) == sorted(expected)


@pytest.mark.parametrize(("protocol", "expected"), [(BARE, "ConnectionClosed"), (MENDED, "answer")])
async def test_a_slow_answer_is_waited_for_although_nothing_else_is_sent(
    certificate: LocalCertificate,
    protocol: type[APNsTLSClientProtocol],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(APNsTLSClientProtocol, "INACTIVITY_TIME", 0.2)

    async def slow(request: Http2Request) -> None:
        await asyncio.sleep(SOON)
        await accept(request)

    assert await scenario(protocol, slow, certificate) == [expected]


async def test_a_body_that_flow_control_holds_back_is_sent_when_there_is_room(certificate: LocalCertificate) -> None:
    """Bare aioapns raises FlowControlError, and leaves the stream open for ever."""
    small = {int(SettingCodes.INITIAL_WINDOW_SIZE): 1000}
    bodies: list[bytes] = []

    async def keep(request: Http2Request) -> None:
        bodies.append(request.body)
        await accept(request)

    async with Http2Server(keep, certificate.server_context(["h2"]), small, grants=False) as server:
        bare = await connect(BARE, server, certificate)
        assert await outcome(bare.send_notification(notification("x" * 2000))) == "FlowControlError"
        mended = await connect(MENDED, server, certificate)
        sending = asyncio.ensure_future(mended.send_notification(notification("y" * 2000)))
        await asyncio.sleep(0.05)
        assert not bodies
        server.connections[1].update_settings({int(SettingCodes.INITIAL_WINDOW_SIZE): 65_535})
        assert await outcome(sending) == "answer"
        assert len(bodies[0]) > 2000


async def test_a_connection_cut_while_a_body_is_held_back_was_certainly_not_processed(
    certificate: LocalCertificate,
) -> None:
    small = {int(SettingCodes.INITIAL_WINDOW_SIZE): 10}
    async with Http2Server(accept, certificate.server_context(["h2"]), small, grants=False) as server:
        mended = await connect(MENDED, server, certificate)
        sending = asyncio.ensure_future(mended.send_notification(notification()))
        await asyncio.sleep(0.05)
        server.connections[0].abort()
        assert await outcome(sending) == "NotProcessed"


async def test_a_cut_connection_leaves_what_was_sent_in_doubt(certificate: LocalCertificate) -> None:
    async def cut(request: Http2Request) -> None:
        request.connection.abort()

    assert await scenario(MENDED, cut, certificate) == ["AnswerLost"]


async def test_bytes_that_are_not_http2_end_the_connection_and_what_was_sent_is_in_doubt(
    certificate: LocalCertificate,
) -> None:
    async def garbage(request: Http2Request) -> None:
        request.connection.write_raw(bytes(9))  # a DATA frame of no stream

    assert await scenario(MENDED, garbage, certificate) == ["AnswerLost"]


async def test_a_cancelled_send_gives_its_stream_back(certificate: LocalCertificate) -> None:
    one = {int(SettingCodes.MAX_CONCURRENT_STREAMS): 1}
    answers: list[Handle] = [silence, accept]

    async def in_turn(request: Http2Request) -> None:
        await answers.pop(0)(request)

    async with Http2Server(in_turn, certificate.server_context(["h2"]), one) as server:
        connection = await connect(MENDED, server, certificate)
        sending = asyncio.ensure_future(connection.send_notification(notification()))
        await asyncio.sleep(0.05)
        assert connection.room == 0
        sending.cancel()
        await asyncio.wait([sending])
        assert connection.room > 0
        assert await outcome(connection.send_notification(notification())) == "answer"


def test_our_tls_context_offers_http2_and_verifies() -> None:
    context = tls_context(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_the_server_is_told_that_we_speak_http2(certificate: LocalCertificate) -> None:
    """aioapns's own context offers no protocol: a server that wants ALPN refuses it, or takes it for HTTP/1.1."""
    agreed = []
    for context in (tls_context(str(certificate.path)), ssl.create_default_context(cafile=str(certificate.path))):
        async with Http2Server(accept, certificate.server_context(["h2"])) as server:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", server.port, ssl=context)
            agreed.append(transport.get_extra_info("ssl_object").selected_alpn_protocol())
            transport.abort()
    assert agreed == ["h2", None]


class TestPool:
    @pytest.fixture
    def open_pool(self, certificate: LocalCertificate) -> Callable[[Http2Server, int], ApnsPool]:
        tls = tls_context(str(certificate.path))
        return lambda server, size: ApnsPool(URL(server.base_url), tls, size=size, timeout=SOON)

    @pytest.fixture
    def open_patient_pool(self, certificate: LocalCertificate) -> Callable[[Http2Server, int], ApnsPool]:
        """For what must be answered, however busy the machine is."""
        tls = tls_context(str(certificate.path))
        return lambda server, size: ApnsPool(URL(server.base_url), tls, size=size, timeout=30)

    @staticmethod
    def send(pool: ApnsPool) -> Awaitable[object]:
        return pool.request(request_headers("localhost", TOKEN, {"apns-id": str(uuid.uuid4())}), b"{}")

    async def test_many_sends_share_few_connections_and_few_streams(
        self, certificate: LocalCertificate, open_patient_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        most = {int(SettingCodes.MAX_CONCURRENT_STREAMS): 3}
        async with Http2Server(accept, certificate.server_context(["h2"]), most) as server:
            pool = open_patient_pool(server, 2)
            assert set(await asyncio.gather(*(outcome(self.send(pool), 40) for _ in range(200)))) == {"answer"}
            assert len(server.connections) <= 2
            await pool.close()

    async def test_what_goaway_left_out_goes_over_a_new_connection_and_nothing_goes_twice(
        self, certificate: LocalCertificate, open_patient_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        seen: list[str] = []

        async def go_away_once(request: Http2Request) -> None:
            if not seen:
                seen.append("refused")
                request.connection.go_away(0)
                return
            seen.append(request.headers["apns-id"])
            await accept(request)

        async with Http2Server(go_away_once, certificate.server_context(["h2"])) as server:
            pool = open_patient_pool(server, 1)
            assert await outcome(self.send(pool), 40) == "answer"
            assert (len(seen), len(server.connections)) == (2, 2)
            await pool.close()

    async def test_a_lost_answer_is_not_repeated(
        self, certificate: LocalCertificate, open_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        """aioapns's pool would send it five times."""
        seen = 0

        async def cut(request: Http2Request) -> None:
            nonlocal seen
            seen += 1
            request.connection.abort()

        async with Http2Server(cut, certificate.server_context(["h2"])) as server:
            pool = open_pool(server, 1)
            with pytest.raises(AnswerLost):
                await self.send(pool)
            assert seen == 1
            await pool.close()

    async def test_a_refused_stream_is_tried_again_but_not_for_ever(
        self, certificate: LocalCertificate, open_patient_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        async with Http2Server(refused, certificate.server_context(["h2"])) as server:
            pool = open_patient_pool(server, 1)
            with pytest.raises(NotProcessed):
                await self.send(pool)
            assert server.connections[0].requests == 3
            await pool.close()

    async def test_a_silent_connection_is_not_used_again(
        self, certificate: LocalCertificate, open_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        async with Http2Server(silence, certificate.server_context(["h2"])) as server:
            pool = open_pool(server, 1)
            for _ in range(2):
                with pytest.raises(AnswerLost):
                    await self.send(pool)
            assert len(server.connections) == 2
            await pool.close()

    async def test_with_every_stream_taken_a_send_gives_up_in_time_and_has_sent_nothing(
        self, certificate: LocalCertificate, open_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        one = {int(SettingCodes.MAX_CONCURRENT_STREAMS): 0}
        async with Http2Server(accept, certificate.server_context(["h2"]), one) as server:
            pool = open_pool(server, 1)
            with pytest.raises(Unreachable, match="Busy"):
                await self.send(pool)
            assert not pool._waiting
            await pool.close()

    async def test_a_stranger_s_certificate_is_refused(self, certificate: LocalCertificate) -> None:
        async with Http2Server(accept, certificate.server_context(["h2"])) as server:
            pool = ApnsPool(URL(server.base_url), tls_context(None), size=1, timeout=SOON)
            with pytest.raises(Unreachable) as refused:
                await self.send(pool)
            assert refused.value.certificate

    async def test_a_server_without_http2_is_unreachable(
        self, certificate: LocalCertificate, open_pool: Callable[[Http2Server, int], ApnsPool]
    ) -> None:
        async with Http2Server(accept, certificate.server_context(["http/1.1"])) as server:
            with pytest.raises(Unreachable):
                await self.send(open_pool(server, 1))
