"""What the gateway counts, in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SETUP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "egress_decisions", "Decisions by verdict and rule.", ("verdict", "rule"), registry=self.registry
        )
        self.tunnels = Gauge(
            "egress_tunnels_open", "Tunnels and requests on routes in progress.", registry=self.registry
        )
        moved = Counter("egress_bytes", "Bytes moved, by direction.", ("direction",), registry=self.registry)
        self.bytes_up, self.bytes_down = moved.labels("up"), moved.labels("down")
        self.setup = Histogram(
            "egress_setup_seconds",
            "From a request's first byte to the tunnel's first byte upstream.",
            buckets=_SETUP_BUCKETS,
            registry=self.registry,
        )
        self.reloads = Counter("egress_policy_loads", "Policies read, by result.", ("result",), registry=self.registry)
        self.policy_ok = Gauge("egress_policy_in_force", "1 if a good policy is in force.", registry=self.registry)
        self.policy_time = Gauge(
            "egress_policy_loaded_timestamp_seconds", "When the policy in force was read.", registry=self.registry
        )

    def text(self) -> bytes:
        """All of them in the text format."""
        return generate_latest(self.registry)
