"""Cloud Map: private DNS namespaces and the services in them."""

import time
import uuid
from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_RECORDS: Fields = {"dnsRecords": ("DnsRecords", {"ttl": "TTL", "type": "Type"})}
_DNS: Fields = {**_RECORDS, "namespaceId": "NamespaceId", "routingPolicy": "RoutingPolicy"}
_HEALTH: Fields = {"failureThreshold": "FailureThreshold", "resourcePath": "ResourcePath", "type": "Type"}
_CUSTOM_HEALTH: Fields = {"failureThreshold": "FailureThreshold"}
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0


class PrivateDnsNamespace(Resource):
    """A DNS name inside a VPC, with its hosted zone; its id is Cloud Map's (`ns-...`)."""

    token = "aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace"
    backed_by = "moto: servicediscovery.create_private_dns_namespace, route53.delete_hosted_zone"
    force_new = frozenset({"name", "vpc"})
    name_property = "name"
    name_limit = 253
    drift_keys = frozenset({"description"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the namespace; Cloud Map makes the hosted zone."""
        operation = aws.client("servicediscovery").create_private_dns_namespace(
            Name=inputs["name"],
            Vpc=inputs["vpc"],
            Description=inputs.get("description", ""),
            CreatorRequestId=uuid.uuid4().hex,
            Tags=tag_list(aws.tags_all(inputs)),
        )
        namespace_id: str = _finished(aws, operation["OperationId"])["Targets"]["NAMESPACE"]
        outputs = self.read(aws, namespace_id, inputs)
        zones = aws.client("route53")
        if not zones.get_hosted_zone(Id=outputs["hostedZone"]).get("VPCs"):
            # AWS ties the zone to the namespace's VPC itself; the emulator forgets to.
            zones.associate_vpc_with_hosted_zone(
                HostedZoneId=outputs["hostedZone"], VPC={"VPCRegion": aws.region, "VPCId": inputs["vpc"]}
            )
        return namespace_id, outputs

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the namespace and the id of its hosted zone."""
        client = aws.client("servicediscovery")
        with missing_is_gone():
            namespace = client.get_namespace(Id=physical_id)["Namespace"]
        return {
            "arn": namespace["Arn"],
            "description": namespace.get("Description") or None,
            "hostedZone": namespace["Properties"]["DnsProperties"]["HostedZoneId"],
            "name": namespace["Name"],
            "tags": tag_map(client.list_tags_for_resource(ResourceARN=namespace["Arn"])["Tags"]),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes description and tags."""
        client = aws.client("servicediscovery")
        if inputs.get("description") != state.get("description"):
            operation = client.update_private_dns_namespace(
                Id=physical_id,
                Namespace={"Description": inputs.get("description", "")},
                UpdaterRequestId=uuid.uuid4().hex,
            )
            _finished(aws, operation["OperationId"])
        _retag(aws, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the namespace and its hosted zone."""
        client = aws.client("servicediscovery")
        with missing_is_fine():
            zone = client.get_namespace(Id=physical_id)["Namespace"]["Properties"]["DnsProperties"]["HostedZoneId"]
            _finished(aws, client.delete_namespace(Id=physical_id)["OperationId"])
            # AWS deletes the zone itself; the emulator forgets to.
            aws.client("route53").delete_hosted_zone(Id=zone)


class Service(Resource):
    """A name in a namespace under which tasks are found; its id is Cloud Map's (`srv-...`)."""

    token = "aws:servicediscovery/service:Service"
    backed_by = "moto: servicediscovery.create_service"
    # AWS can change the TTL of the records in place, but nothing else of `dnsConfig`.
    force_new = frozenset({"dnsConfig", "healthCheckCustomConfig", "name", "namespaceId", "type"})
    name_property = "name"
    name_limit = 127
    defaults: ClassVar[dict[str, Any]] = {"forceDestroy": False}
    drift_keys = frozenset({"description"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the service."""
        dns = inputs.get("dnsConfig")
        namespace = inputs.get("namespaceId") or (dns or {}).get("namespaceId")
        optional = {
            "DnsConfig": to_api(_DNS, dns) if dns else None,
            "HealthCheckConfig": _given(_HEALTH, inputs.get("healthCheckConfig")),
            "HealthCheckCustomConfig": _given(_CUSTOM_HEALTH, inputs.get("healthCheckCustomConfig")),
            "NamespaceId": namespace,
            "Type": inputs.get("type"),
        }
        service_id: str = aws.client("servicediscovery").create_service(
            Name=inputs["name"],
            Description=inputs.get("description", ""),
            CreatorRequestId=uuid.uuid4().hex,
            Tags=tag_list(aws.tags_all(inputs)),
            **{key: value for key, value in optional.items() if value is not None},
        )["Service"]["Id"]
        return service_id, self.read(aws, service_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the service."""
        client = aws.client("servicediscovery")
        with missing_is_gone():
            service = client.get_service(Id=physical_id)["Service"]
        return {
            "arn": service["Arn"],
            "description": service.get("Description") or None,
            "dnsConfig": from_api(_DNS, service.get("DnsConfig") or {}) or None,
            "healthCheckConfig": _found(_HEALTH, service.get("HealthCheckConfig")),
            "healthCheckCustomConfig": _found(_CUSTOM_HEALTH, service.get("HealthCheckCustomConfig")),
            "name": service["Name"],
            "namespaceId": service.get("NamespaceId"),
            "tags": tag_map(client.list_tags_for_resource(ResourceARN=service["Arn"])["Tags"]),
            "type": service.get("Type"),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes description, TTLs, health check and tags."""
        change: dict[str, Any] = {"Description": inputs.get("description", "")}
        if inputs.get("dnsConfig"):
            # AWS deletes the records that an update leaves out.
            change["DnsConfig"] = to_api(_RECORDS, {"dnsRecords": inputs["dnsConfig"]["dnsRecords"]})
        if inputs.get("healthCheckConfig"):
            change["HealthCheckConfig"] = to_api(_HEALTH, inputs["healthCheckConfig"])
        operation = aws.client("servicediscovery").update_service(Id=physical_id, Service=change)
        _finished(aws, operation["OperationId"])
        _retag(aws, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the service; with `forceDestroy` its instances first, else AWS refuses while it has any."""
        client = aws.client("servicediscovery")
        with missing_is_fine("ServiceNotFound"):
            if state.get("forceDestroy"):
                for page in client.get_paginator("list_instances").paginate(ServiceId=physical_id):
                    for instance in page["Instances"]:
                        client.deregister_instance(ServiceId=physical_id, InstanceId=instance["Id"])
            client.delete_service(Id=physical_id)


def _given(fields: Fields, value: Props | None) -> Props | None:
    # An empty structure is a choice of its own here: it asks for the health check with AWS's settings.
    return None if value is None else to_api(fields, value)


def _found(fields: Fields, value: Props | None) -> Props | None:
    return None if value is None else from_api(fields, value)


def _retag(aws: Aws, state: Props, inputs: Props) -> None:
    removed, written = tag_changes(aws, state, inputs)
    client = aws.client("servicediscovery")
    if removed:
        client.untag_resource(ResourceARN=state["arn"], TagKeys=removed)
    if written:
        client.tag_resource(ResourceARN=state["arn"], Tags=tag_list(written))


def _finished(aws: Aws, operation_id: str) -> Props:
    """Waits for an operation of Cloud Map and returns it.

    Raises:
        RuntimeError: it failed, or did not end in time.
    """
    client = aws.client("servicediscovery")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        operation: Props = client.get_operation(OperationId=operation_id)["Operation"]
        if operation["Status"] == "SUCCESS":
            return operation
        if operation["Status"] == "FAIL" or time.monotonic() > deadline:
            reason = operation.get("ErrorMessage") or f"still {operation['Status']} after {_PATIENCE_SECONDS:.0f} s"
            raise RuntimeError(f"Cloud Map operation {operation_id}: {operation.get('ErrorCode', '')} {reason}")
        time.sleep(_POLL_SECONDS)


RESOURCES: list[Resource] = [PrivateDnsNamespace(), Service()]
INVOKES: dict[str, Invoke] = {}
