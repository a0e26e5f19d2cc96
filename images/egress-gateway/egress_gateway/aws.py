"""Clients of AWS, for gateways that run there; elsewhere nothing of it is loaded."""

from functools import lru_cache
from typing import Any

_SECONDS = 3
_ATTEMPTS = 2


@lru_cache(maxsize=8)
def client(service: str, region: str | None = None) -> Any:
    """A client of a service with the task's own role; usable from any thread.

    Args:
        service: Such as `s3`.
        region: Such as `us-east-1`; None for the region that the gateway runs in.
    """
    # Half of the start-up time and of the memory of a gateway that needs none of it.
    import botocore.config
    import botocore.session

    config = botocore.config.Config(
        connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"}
    )
    return botocore.session.get_session().create_client(service, region_name=region, config=config)
