"""What goes wrong when an API server is asked."""

from __future__ import annotations


class RequestError(Exception):
    """The API server was not reached, or what it answered is no use; the message says why.

    ``status`` is what HTTP says, 0 where there was no answer. ``reason`` is the API's word
    (metav1.StatusReason: ``Expired``, ``Timeout``, …), empty where it gave none.
    ``is_silence``: nothing more came in time.
    ``retry_after`` are seconds that it asks to wait, None where it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float | None = None,
        is_version_too_large: bool = False,
        is_silence: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.is_version_too_large = is_version_too_large
        self.is_silence = is_silence

    @property
    def is_expired(self) -> bool:
        """The version or the continue token that was asked for is too old."""
        return self.status == 410 or self.reason in ("Expired", "Gone")


class ClosedError(Exception):
    """The connection was closed from here."""
