"""AWS's own errors: telling "no such thing" from the rest, and raising one where the emulator has no say."""

from collections.abc import Iterator
from contextlib import contextmanager

from offline.aws.resource import Gone

# Codes that say "no such thing" without ending in NotFound.
_MISSING = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchHostedZone",
        "NoSuchLifecycleConfiguration",
        "NotFoundException",
        "RepositoryNotFoundException",
        "ResourceNotFoundException",
        "ClusterNotFoundException",
        "ServiceNotFoundException",
    }
)


def code_of(error: Exception) -> str:
    """Returns AWS's error code, or an empty string for an error that is not AWS's."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) and "Error" in response else ""


def is_missing(error: Exception) -> bool:
    """Returns whether AWS said that the thing does not exist."""
    code = code_of(error)
    return code in _MISSING or code.endswith("NotFound")


@contextmanager
def missing_is_gone() -> Iterator[None]:
    """Around the calls of a `read`: raises `Gone` where AWS says that the thing does not exist."""
    try:
        yield
    except Exception as error:
        if is_missing(error):
            raise Gone from error
        raise


@contextmanager
def missing_is_fine(*codes: str) -> Iterator[None]:
    """Around the calls of a `delete`: passes over AWS saying that the thing does not exist.

    Args:
        codes: further error codes that mean the same for this call.
    """
    try:
        yield
    except Exception as error:
        if not is_missing(error) and code_of(error) not in codes:
            raise


def aws_error(operation: str, code: str, message: str) -> Exception:
    """Returns the exception that boto3 raises for an answer of AWS, for what the stand-in answers itself."""
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
