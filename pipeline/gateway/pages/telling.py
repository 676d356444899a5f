"""Tells the status topic that somebody unsubscribed."""

import logging
import time
from collections.abc import Callable

from pipeline.errors import Unavailable
from pipeline.events.references import Feedback, Reference
from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.gateway.tracking.recorder import Recorder, Seen

logger = logging.getLogger(__name__)


class Teller:
    """Over the feedback writer; what cannot be told now is left to the recorder."""

    def __init__(
        self,
        feedback: FeedbackWriter,
        recorder: Recorder,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._feedback = feedback
        self._recorder = recorder
        self._now_ms = now_ms

    async def unsubscribed(self, reference: Reference | None, request_id: str) -> None:
        """Of the notification whose link it was, now or later: what was asked for is done by now. None: nothing to tell."""
        if reference is None:
            return
        told = Feedback(status=Status.UNSUBSCRIBED, reason=Reason.OPTED_OUT, occurred_at=self._now_ms())
        try:
            await self._feedback.write([(reference, told)])
        except Unavailable as error:
            logger.warning("`unsubscribed` is told later: %s", error, extra={"request_id": request_id})
            self._recorder.put(Seen(reference, told, always=True))
