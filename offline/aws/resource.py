"""What a handler of one resource type is, and what it is given to reach the emulated AWS."""

import os
import threading
from abc import ABC, abstractmethod
from typing import Any, ClassVar
from urllib.parse import urlsplit

from offline.aws.store import Store

Props = dict[str, Any]
"""Properties of a resource or a function: camelCase keys, plain JSON values, secrets unwrapped."""


class Gone(Exception):  # noqa: N818 - an answer ("no longer there"), not a failure
    """Raised by `Resource.read` when AWS no longer has the object."""


class Endpoints:
    """Where each AWS service is answered.

    The stand-in implements a few dozen types for tests and demonstrations, so it refuses to act on a real
    account: an endpoint must be named, and must not be Amazon's.

    Args:
        by_service: URLs by service name, as in the provider's `endpoints`.
        environment: where `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` are looked up.

    Raises:
        ValueError: no endpoint for a service, or one of Amazon's own.
    """

    # Names that Pulumi's `endpoints` and boto3 give to one service differ for these.
    _ALIASES: ClassVar[dict[str, tuple[str, ...]]] = {
        "logs": ("cloudwatchlogs", "cloudwatchlog"),
        "elbv2": ("elasticloadbalancingv2", "elb"),
        "application-autoscaling": ("appautoscaling", "applicationautoscaling"),
    }

    def __init__(self, by_service: dict[str, str] | None = None, environment: dict[str, str] | None = None) -> None:
        self._by_service = by_service or {}
        self._environment = dict(os.environ) if environment is None else environment

    def url(self, service: str) -> str:
        """Returns the URL for a boto3 service name."""
        distinct = set(self._by_service.values())
        candidates = [self._by_service.get(name) for name in (service, *self._ALIASES.get(service, ()))]
        candidates.append(self._environment.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"))
        candidates.append(self._environment.get("AWS_ENDPOINT_URL"))
        # One emulator answers every service, so a configuration that names it for a few means it for all.
        candidates.append(distinct.pop() if len(distinct) == 1 else None)
        url = next((candidate for candidate in candidates if candidate), None)
        if url is None:
            raise ValueError(
                f"endpoints.{service}: no URL. The stand-in for the aws provider only drives an emulator: set "
                f"AWS_ENDPOINT_URL or the provider's `endpoints` to it, or install the real aws plugin."
            )
        host = urlsplit(url).hostname or ""
        if host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws")):
            raise ValueError(
                f"endpoints.{service}: {url!r} is Amazon's own. The stand-in for the aws provider must not act on "
                f"a real account: install the real aws plugin, or point the endpoint at an emulator."
            )
        return url


class Aws:
    """The emulated account and region that a handler acts on.

    Args:
        region: e.g. `eu-west-1`.
        endpoints: where the services are answered.
        default_tags: the provider's `defaultTags.tags`.
        store_folder: where the stand-in keeps what the emulator lacks; None for the project's own folder.
    """

    def __init__(
        self,
        region: str,
        endpoints: Endpoints | None = None,
        default_tags: dict[str, str] | None = None,
        store_folder: str | None = None,
    ) -> None:
        self.region = region
        self.endpoints = endpoints or Endpoints()
        self.default_tags = default_tags or {}
        self._store_folder = store_folder
        self._regions: dict[str, Aws] = {}
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Any = None
        self._account_id: str | None = None
        self._store: Store | None = None
        self._lock = threading.RLock()

    def client(self, service: str, region: str | None = None) -> Any:
        """Returns the cached boto3 client of a service, in this region unless another is given."""
        key = (service, region or self.region)
        # boto3 sessions are not safe to build clients from in several threads at once; clients are safe to use.
        with self._lock:
            if key not in self._clients:
                import boto3
                from botocore.config import Config

                if self._session is None:
                    self._session = boto3.session.Session(
                        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "emulator"),
                        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "emulator"),
                    )
                self._clients[key] = self._session.client(
                    service,
                    region_name=key[1],
                    endpoint_url=self.endpoints.url(service),
                    config=Config(
                        max_pool_connections=64,
                        retries={"mode": "standard", "max_attempts": 3},
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[key]

    @property
    def account_id(self) -> str:
        """The 12 digits of the emulated account."""
        with self._lock:
            if self._account_id is None:
                self._account_id = str(self.client("sts").get_caller_identity()["Account"])
            return self._account_id

    @property
    def partition(self) -> str:
        """The AWS partition of the region, e.g. `aws`."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def store(self) -> Store:
        """What the emulator has no interface for, kept in a file per endpoint, account and region."""
        with self._lock:
            if self._store is None:
                place = urlsplit(self.endpoints.url("sts")).netloc.replace(":", "_")
                self._store = Store(f"{place}-{self.account_id}-{self.region}", self._store_folder)
            return self._store

    def in_region(self, region: str) -> "Aws":
        """Returns the same account as seen in another region (a resource's own `region` property)."""
        if region == self.region:
            return self
        with self._lock:
            if region not in self._regions:
                self._regions[region] = Aws(region, self.endpoints, self.default_tags, self._store_folder)
            return self._regions[region]

    def tags_all(self, inputs: Props) -> dict[str, str]:
        """Returns the provider's default tags overlaid with the resource's own, as the real provider writes them."""
        return {**self.default_tags_of(inputs), **(inputs.get("tags") or {})}

    def default_tags_of(self, inputs: Props) -> dict[str, str]:
        """Returns the default tags that reach a resource: the provider's, or those that it names in their place."""
        override = (inputs.get("overrideProvider") or {}).get("defaultTags")
        return self.default_tags if override is None else (override.get("tags") or {})


class Resource(ABC):
    """The handler of one resource type.

    `inputs` are the program's checked inputs. `state` is what Create or Update returned last: inputs and
    outputs together. What `create`, `update` and `read` return is merged over the inputs; a `tags` key in it
    means all tags that the object has in AWS, which the provider splits into `tags` and `tagsAll`.

    `read` gives every input property that AWS lets one read: a key that it leaves out cannot be read (the
    program's value is kept), a key with None means that AWS holds nothing there.
    """

    token: ClassVar[str]
    """The type token, e.g. `aws:ec2/vpc:Vpc`."""
    backed_by: ClassVar[str]
    """What stands behind it, for the README's table, e.g. `moto: ec2.create_vpc`."""
    force_new: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change replaces the resource. A change of `region` always does."""
    name_property: ClassVar[str | None] = None
    """The input that is filled with `<logical name>-<7 hex digits>` when the program leaves it out."""
    name_limit: ClassVar[int] = 255
    """The longest name that AWS takes there."""
    name_suffix: ClassVar[str] = ""
    """What AWS demands at the end of such a name, e.g. `.fifo`."""
    delete_before_replace: ClassVar[bool] = False
    """Whether the old object must go before the new one can be made, whatever its name."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Inputs that the real provider fills in itself when the program leaves them out."""
    json_properties: ClassVar[frozenset[str]] = frozenset()
    """Inputs that hold a JSON document: compared by meaning, not by spelling."""
    ordered: ClassVar[frozenset[str]] = frozenset()
    """Inputs that are lists in the order the program gave; every other list is compared as a set."""
    drift_keys: ClassVar[frozenset[str]] = frozenset()
    """Inputs that a refresh adds although the program left them out, when AWS holds something there."""
    volatile: ClassVar[frozenset[str]] = frozenset()
    """Outputs that an update may change: unknown in the preview of an update."""
    unsupported: ClassVar[frozenset[str]] = frozenset()
    """Inputs of the real type that this handler does not act on; the provider refuses them when they are set."""
    taggable: ClassVar[bool] = True
    """Whether the type has `tags` and `tagsAll`."""

    @abstractmethod
    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the object and returns its id and what AWS added. Removes what it made if it fails half-way."""

    @abstractmethod
    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns what AWS holds now.

        Raises:
            Gone: AWS no longer has the object.
        """

    @abstractmethod
    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Brings the object from `state` to `inputs` and returns what AWS added."""

    @abstractmethod
    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Removes the object; one that is gone already is no error, nor is raising `Gone`."""
