"""The rules of a bucket's lifecycle, between the SDK's form and the API's."""

from offline.aws.resource import Props
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_list, tag_map

_SIZES: Fields = {"objectSizeGreaterThan": "ObjectSizeGreaterThan", "objectSizeLessThan": "ObjectSizeLessThan"}
_FILTER: Fields = {
    **_SIZES,
    "prefix": "Prefix",
    "tag": ("Tag", {"key": "Key", "value": "Value"}),
    "and": ("And", {**_SIZES, "prefix": "Prefix", "tags": "Tags"}),
}
_NONCURRENT: Fields = {"noncurrentDays": "NoncurrentDays", "newerNoncurrentVersions": "NewerNoncurrentVersions"}
_RULE: Fields = {
    "id": "ID",
    "status": "Status",
    "prefix": "Prefix",
    "filter": ("Filter", _FILTER),
    "abortIncompleteMultipartUpload": (
        "AbortIncompleteMultipartUpload",
        {"daysAfterInitiation": "DaysAfterInitiation"},
    ),
    "expiration": (
        "Expiration",
        {"days": "Days", "date": "Date", "expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"},
    ),
    "transitions": ("Transitions", {"days": "Days", "date": "Date", "storageClass": "StorageClass"}),
    "noncurrentVersionExpiration": ("NoncurrentVersionExpiration", _NONCURRENT),
    "noncurrentVersionTransitions": (
        "NoncurrentVersionTransitions",
        {**_NONCURRENT, "storageClass": "StorageClass"},
    ),
}


def rules_to_api(rules: list[Props]) -> list[Props]:
    """Returns the rules as `PutBucketLifecycleConfiguration` takes them."""
    converted = [to_api(_RULE, rule) for rule in rules]
    for rule in converted:
        # AWS demands a filter, or the prefix of old; an empty prefix stands for every object.
        if "Prefix" not in rule and not rule.get("Filter"):
            rule["Filter"] = {"Prefix": ""}
        both = rule.get("Filter", {}).get("And")
        if both and "Tags" in both:
            both["Tags"] = tag_list(both["Tags"])
    return converted


def rules_from_api(rules: list[Props]) -> list[Props]:
    """Returns the rules as the program gives them."""
    converted = [from_api(_RULE, rule) for rule in rules]
    for rule in converted:
        both = rule.get("filter", {}).get("and")
        if both and "tags" in both:
            both["tags"] = tag_map(both["tags"])
        for dated in (rule.get("expiration") or {}, *rule.get("transitions", [])):
            if "date" in dated:
                dated["date"] = dated["date"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return converted
