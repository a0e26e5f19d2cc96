"""The provider's own configuration: region, endpoints, default tags, account guard."""

from dataclasses import dataclass, field
from typing import Any

from offline.aws import schema
from offline.aws.check import Failure, check
from offline.aws.resource import Aws, Endpoints, Props
from offline.aws.wire import UNKNOWN

OWNER = "provider aws"

# Settings that make another provider of it: everything that it manages would have to move.
REPLACING = frozenset({"region"})


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message says which setting, and how to mend it."""


@dataclass(frozen=True)
class Configuration:
    """What the stand-in uses of the provider's settings; the rest is accepted and has no effect here."""

    region: str
    endpoints: dict[str, str] = field(default_factory=dict)
    default_tags: dict[str, str] = field(default_factory=dict)
    allowed_account_ids: tuple[str, ...] = ()
    forbidden_account_ids: tuple[str, ...] = ()

    def connect(self) -> Aws:
        """Returns the emulated account.

        Raises:
            ConfigurationError: no endpoint is named, or the account is not an allowed one.
        """
        try:
            aws = Aws(self.region, Endpoints(self.endpoints), self.default_tags)
            aws.endpoints.url("sts")
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if (self.allowed_account_ids or self.forbidden_account_ids) and (
            aws.account_id in self.forbidden_account_ids
            or (self.allowed_account_ids and aws.account_id not in self.allowed_account_ids)
        ):
            raise ConfigurationError(
                f"aws:allowedAccountIds: the account is {aws.account_id}, allowed are "
                f"{list(self.allowed_account_ids) or 'all'} but {list(self.forbidden_account_ids)}: "
                f"use the credentials of another account, or correct the setting"
            )
        return aws


def check_configuration(settings: Props) -> tuple[Props, list[Failure]]:
    """Checks the settings against what the SDK's `Provider` declares; decodes the nested ones."""
    return check(schema.provider_inputs(), settings, OWNER)


def parse(settings: Props, environment: dict[str, str]) -> Configuration:
    """Returns the configuration of checked settings.

    Args:
        settings: the provider's inputs.
        environment: where `AWS_REGION` and `AWS_DEFAULT_REGION` are looked up when `region` is not set.

    Raises:
        ConfigurationError: a setting is wrong, or no region is given.
    """
    values, failures = check_configuration(settings)
    if failures:
        raise ConfigurationError("; ".join(f"aws:{failure.path}: {failure.reason}" for failure in failures))
    region = values.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region or region == UNKNOWN:
        raise ConfigurationError(
            "aws:region: no region: set it in the stack file (aws:region: eu-west-1) or AWS_REGION"
        )
    return Configuration(
        region=region,
        endpoints={name: url for entry in values.get("endpoints") or [] for name, url in entry.items() if url},
        default_tags=_tags(values.get("defaultTags")),
        allowed_account_ids=tuple(values.get("allowedAccountIds") or ()),
        forbidden_account_ids=tuple(values.get("forbiddenAccountIds") or ()),
    )


def _tags(setting: Any) -> dict[str, str]:
    return dict((setting or {}).get("tags") or {})
