"""Logs of the DNS queries of a VPC. moto can make them but not delete them, so the stand-in keeps them itself."""

from offline.aws.errors import aws_error
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services import _kept


class ResolverQueryLogConfig(Resource):
    """Where queries are logged."""

    token = "aws:route53/resolverQueryLogConfig:ResolverQueryLogConfig"
    backed_by = "kept by the stand-in"
    name_property = "name"
    name_limit = 64
    force_new = frozenset({"destinationArn", "name"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the configuration."""
        config_id = _kept.new_id("rqlc")
        return config_id, self.update(aws, config_id, {}, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the configuration."""
        return {
            **_kept.find(aws, _kept.QUERY_LOG_CONFIG, physical_id),
            "arn": _kept.arn(aws, _kept.QUERY_LOG_CONFIG, physical_id),
            "ownerId": aws.account_id,
            "shareStatus": "NOT_SHARED",
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Sets the tags."""
        item = {"destinationArn": inputs["destinationArn"], "name": inputs["name"], "tags": aws.tags_all(inputs)}
        aws.store.put(_kept.QUERY_LOG_CONFIG, physical_id, item)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Forgets the configuration, unless a VPC logs by it."""
        associations = aws.store.items(_kept.QUERY_LOG_ASSOCIATION).values()
        if any(association["resolverQueryLogConfigId"] == physical_id for association in associations):
            message = f"{physical_id} is associated with a VPC"
            raise aws_error("DeleteResolverQueryLogConfig", "InvalidRequestException", message)
        aws.store.delete(_kept.QUERY_LOG_CONFIG, physical_id)


class ResolverQueryLogConfigAssociation(Resource):
    """That the queries of a VPC are logged."""

    token = "aws:route53/resolverQueryLogConfigAssociation:ResolverQueryLogConfigAssociation"
    backed_by = "kept by the stand-in; the VPC must exist in moto"
    taggable = False
    force_new = frozenset({"resolverQueryLogConfigId", "resourceId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the association, if both ends exist."""
        config_id, vpc_id = inputs["resolverQueryLogConfigId"], inputs["resourceId"]
        if aws.store.get(_kept.QUERY_LOG_CONFIG, config_id) is None or not _kept.vpc_exists(aws, vpc_id):
            message = f"resolverQueryLogConfigId {config_id!r} or resourceId {vpc_id!r} does not exist"
            raise aws_error("AssociateResolverQueryLogConfig", "ResourceNotFoundException", message)
        association_id = _kept.new_id("rqlca")
        aws.store.put(
            _kept.QUERY_LOG_ASSOCIATION, association_id, {"resolverQueryLogConfigId": config_id, "resourceId": vpc_id}
        )
        return association_id, {}

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the association; it ends with its VPC."""
        item = _kept.find(aws, _kept.QUERY_LOG_ASSOCIATION, physical_id)
        if not _kept.vpc_exists(aws, item["resourceId"]):
            raise Gone
        return item

    def update(self, _aws: Aws, _physical_id: str, _state: Props, _inputs: Props, /) -> Props:
        """Has nothing to change: both inputs replace the association."""
        return {}

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Ends the association."""
        aws.store.delete(_kept.QUERY_LOG_ASSOCIATION, physical_id)


RESOURCES: list[Resource] = [ResolverQueryLogConfig(), ResolverQueryLogConfigAssociation()]
INVOKES: dict[str, Invoke] = {}
