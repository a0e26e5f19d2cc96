"""One request to the gateway, and the one line that the log gets of what became of it."""

import time

from egress_gateway.credentials import without_tokens
from egress_gateway.denial import Denied, Subject
from egress_gateway.head import Head
from egress_gateway.log import Log, shown
from egress_gateway.metrics import Metrics


class Asked:
    """What is known of a request until it is decided.

    Args:
        source: Address of the client.
        log: Takes the decision.
        metrics: Counts it.

    Attributes:
        source: Address of the client.
        subject: Whose request, and where to, as far as it is known.
        head: The request's head; None until it is read.
    """

    def __init__(self, source: str, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics
        self._began = time.monotonic()
        self._decided = False
        self.source = source
        self.subject = Subject()
        self.head: Head | None = None

    def allow(self, rule: str, field: str) -> None:
        """Write down that it is let through, by a rule that comes from a field of the stack file."""
        self._metrics.setup.observe(time.monotonic() - self._began)
        self._decide("allowed", rule, field)

    def answer(self, rule: str) -> None:
        """Write down that the gateway answered it out of itself."""
        self._decide("allowed", rule, None)

    def deny(self, denied: Denied) -> None:
        """Write down that it is refused, before the client hears of it."""
        self._decide("denied", denied.rule, denied.field)
        self._log.flush()

    def _decide(self, verdict: str, rule: str, field: str | None) -> None:
        if self._decided:
            return
        self._decided = True
        self._metrics.decisions.labels(verdict, rule).inc()
        subject = self.subject
        record: dict[str, object] = {
            "session": subject.session,
            "source": self.source,
            "host": subject.host,
            "port": subject.port,
            "verdict": verdict,
            "rule": rule,
            "field": field,
            "bytes_up": 0,
            "bytes_down": 0,
            "seconds": round(time.monotonic() - self._began, 4),
        }
        if subject.agent:
            record["agent"] = subject.agent
        if subject.route:
            record["route"] = subject.route
            if subject.request:
                record["request"] = shown(subject.request.encode())
        elif subject.host is None and self.head is not None:
            request = self.head.request
            record["method"], record["target"] = shown(request.method[:32]), shown(without_tokens(request.target))
        self._log("decision", record)
