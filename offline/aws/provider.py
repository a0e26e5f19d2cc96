"""Pulumi's provider protocol, answered by the handlers of `offline.aws.services`."""

import contextlib
import functools
import importlib.metadata
import os
import traceback
from collections.abc import Callable, Collection
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from offline.aws import registry, schema, wire
from offline.aws.check import DEFAULTS_KEY, check, fill_defaults, name_automatically, refuse_unsupported
from offline.aws.compare import changed_inputs, refreshed_inputs
from offline.aws.configuration import REPLACING, Configuration, ConfigurationError, check_configuration, parse
from offline.aws.resource import Aws, Gone, Props, Resource

_Method = Callable[["Provider", Any, Any], Any]
_DIFF = provider_pb2.PropertyDiff
_CONFIG_PREFIX = "aws:config:"


def _reported(method: _Method) -> _Method:
    """Turns whatever a call raises into one gRPC error that names the type, the resource and the cause."""

    @functools.wraps(method)
    def reported(self: "Provider", request: Any, context: Any) -> Any:
        try:
            return method(self, request, context)
        except (ConfigurationError, registry.UnsupportedError, schema.UndeclaredTypeError) as error:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:  # noqa: BLE001 - every failure is reported to the engine, none ends the process
            response = getattr(error, "response", None)
            subject = _subject(request)
            if isinstance(response, dict) and "Error" in response:
                code, message = response["Error"].get("Code"), response["Error"].get("Message")
                operation = getattr(error, "operation_name", method.__name__)
                _abort(context, grpc.StatusCode.UNKNOWN, f"{subject}: {operation}: {code}: {message}")
            traceback.print_exc()
            _abort(context, grpc.StatusCode.UNKNOWN, f"{subject}: {method.__name__}: {type(error).__name__}: {error}")

    return reported


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError("abort returns to nobody")


def _subject(request: Any) -> str:
    urn = getattr(request, "urn", "")
    return f"{_type_of(urn)} {_name_of(urn)!r}" if urn else str(getattr(request, "tok", "provider aws"))


def _type_of(urn: str) -> str:
    """Returns `aws:ec2/vpc:Vpc` of `urn:pulumi:stack::project::parent$aws:ec2/vpc:Vpc::name`."""
    return urn.split("::")[2].rpartition("$")[2]


def _name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service that the engine calls.

    Args:
        aws: the account to use; None to take it from the engine's Configure call, as in a real run.
    """

    def __init__(self, aws: Aws | None = None) -> None:
        self._connected = aws
        self._configuration: Configuration | None = None

    @property
    def _aws(self) -> Aws:
        if self._connected is None:
            if self._configuration is None:
                raise ConfigurationError("provider aws: called before it was configured")
            self._connected = self._configuration.connect()
        return self._connected

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's own names
        """Gives the version of the installed SDK, which is the one that the engine asks for."""
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi-aws"))

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Agrees with the engine on what both understand."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Lets running calls end: each is short, and one cut off would leave an object that nobody knows."""
        return empty_pb2.Empty()

    @_reported
    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Checks the provider's settings."""
        _, failures = check_configuration(wire.decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[provider_pb2.CheckFailure(property=f.path, reason=f.reason) for f in failures],
        )

    @_reported
    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Compares the provider's settings: another region is another provider."""
        old, new = wire.decode(request.old_inputs), wire.decode(request.news)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        return _diff_response(changed, [key for key in changed if key in REPLACING])

    @_reported
    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Takes the settings; the account is asked for at the first call that needs it."""
        settings = wire.decode(request.args)
        for name, text in request.variables.items():
            settings.setdefault(name.removeprefix(_CONFIG_PREFIX), text)
        self._configuration = parse(settings, dict(os.environ))
        if self._configuration.allowed_account_ids or self._configuration.forbidden_account_ids:
            self._connected = self._configuration.connect()
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_reported
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Checks a resource's inputs against the SDK's declaration, and fills in its name."""
        token = _type_of(request.urn)
        resource = registry.resource(token)
        declared = schema.resource_inputs(token)
        inputs, problems = check(declared, wire.decode(request.news), token)
        problems += refuse_unsupported(resource, inputs)
        fill_defaults(resource, inputs)
        old = wire.decode(request.olds)
        problems += name_automatically(resource, inputs, old, _name_of(request.urn), request.randomSeed)
        return provider_pb2.CheckResponse(
            inputs=wire.encode(inputs, wire.secret_keys(request.news)),
            failures=[provider_pb2.CheckFailure(property=p.path, reason=p.reason) for p in problems],
        )

    @_reported
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Says which inputs changed and whether the resource must be replaced."""
        token = _type_of(request.urn)
        resource = registry.resource(token)
        state, new = wire.decode(request.olds), wire.decode(request.news)
        old = wire.decode(request.old_inputs)
        if not request.HasField("old_inputs"):
            old = {key: value for key, value in state.items() if key in schema.resource_inputs(token)}
        ignored = {path.replace("[", ".").partition(".")[0] for path in request.ignoreChanges}
        changed = changed_inputs(resource, old, new, ignored)
        if resource.taggable and not wire.is_unknown(new.get("tags")) and "tags" not in ignored:
            # The provider's default tags are no input of the resource, but a change of them must reach it.
            wanted = self._aws.tags_all(new)
            if state.get("tagsAll", wanted) != wanted and "tags" not in changed:
                changed.append("tagsAll")
        replaces = [key for key in changed if key in resource.force_new or key == "region"]
        stables = [key for key in state if key not in {*old, *new, *resource.volatile, "tagsAll"}]
        return _diff_response(
            changed,
            replaces,
            added={key for key in changed if key not in old},
            removed={key for key in changed if key not in new},
            stables=stables,
            delete_first=bool(replaces) and (resource.delete_before_replace or _keeps_own_name(resource, old, new)),
        )

    @_reported
    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Makes the object; in a preview, gives back what is known of it."""
        token = _type_of(request.urn)
        resource = registry.resource(token)
        inputs = wire.decode(request.properties)
        secrets = wire.secret_keys(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=wire.encode(self._tagged(resource, inputs, inputs), secrets))
        aws = self._aws_of(inputs)
        physical_id, outputs = resource.create(aws, inputs)
        state = self._state(resource, aws, physical_id, inputs, outputs)
        return provider_pb2.CreateResponse(id=physical_id, properties=wire.encode(state, secrets))

    @_reported
    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Refreshes a resource: gives what AWS holds now, and the inputs that would have led there."""
        token = _type_of(request.urn)
        resource = registry.resource(token)
        state = wire.decode(request.properties)
        if not state:
            raise registry.UnsupportedError(
                f"{_subject(request)}: the stand-in for the aws provider cannot import or look up existing resources "
                f"by id ({request.id!r}): leave out import and get, or use the real aws plugin"
            )
        inputs = wire.decode(request.inputs)
        aws = self._aws_of(state)
        try:
            actual = resource.read(aws, request.id, state)
        except Gone:
            return provider_pb2.ReadResponse()
        secrets = wire.secret_keys(request.properties) | wire.secret_keys(request.inputs)
        now = self._state(resource, aws, request.id, state, actual)
        own = {**actual, "tags": now.get("tags")} if "tags" in actual else actual
        refreshed = refreshed_inputs(resource, schema.resource_inputs(token), inputs, own)
        return provider_pb2.ReadResponse(
            id=request.id, properties=wire.encode(now, secrets), inputs=wire.encode(refreshed, secrets)
        )

    @_reported
    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Changes the object in place; in a preview, says which outputs stay known."""
        token = _type_of(request.urn)
        resource = registry.resource(token)
        state, inputs = wire.decode(request.olds), wire.decode(request.news)
        secrets = wire.secret_keys(request.news)
        # An input that the program no longer gives must not live on in the state.
        dropped = set(wire.decode(request.old_inputs)) - set(inputs)
        kept = {key: value for key, value in state.items() if key not in dropped}
        if request.preview:
            planned = {**kept, **inputs, **dict.fromkeys(resource.volatile & set(kept), wire.UNKNOWN)}
            return provider_pb2.UpdateResponse(properties=wire.encode(self._tagged(resource, planned, inputs), secrets))
        aws = self._aws_of(inputs)
        outputs = resource.update(aws, request.id, state, inputs)
        now = self._state(resource, aws, request.id, {**kept, **inputs}, outputs)
        return provider_pb2.UpdateResponse(properties=wire.encode(now, secrets))

    @_reported
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Removes the object."""
        state = wire.decode(request.properties)
        with contextlib.suppress(Gone):
            registry.resource(_type_of(request.urn)).delete(self._aws_of(state), request.id, state)
        return empty_pb2.Empty()

    @_reported
    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Answers a function such as `aws.get_region()`."""
        function = registry.function(request.tok)
        arguments = wire.decode(request.args)
        declared = schema.function_arguments(request.tok)
        unknown = sorted(set(arguments) - declared - {"version", "pluginDownloadURL"})
        if unknown:
            reason = f"{request.tok} has no such argument; it has {', '.join(sorted(declared)) or 'none'}"
            return provider_pb2.InvokeResponse(
                failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key in unknown]
            )
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(wire.encode(function(self._aws_of(arguments), arguments)))
        return response

    def _aws_of(self, properties: Props) -> Aws:
        return self._aws.in_region(properties.get("region") or self._aws.region)

    def _state(self, resource: Resource, aws: Aws, physical_id: str, base: Props, outputs: Props) -> Props:
        """Returns the whole state: inputs, outputs over them, id, region, and tags split into own and all."""
        state = {key: value for key, value in {**base, **outputs}.items() if key != DEFAULTS_KEY}
        state = {key: value for key, value in state.items() if value is not None}
        state["id"] = physical_id
        if "region" in schema.resource_inputs(resource.token):
            state["region"] = aws.region
        if not resource.taggable:
            return state
        if "tags" in outputs:
            actual = {key: value for key, value in (outputs["tags"] or {}).items() if not key.startswith("aws:")}
            own = base.get("tags") or {}
            defaults = self._aws.default_tags_of(base)
            state["tagsAll"] = actual
            # A default tag is the provider's, not the resource's, unless the program gave it here as well.
            state["tags"] = {k: v for k, v in actual.items() if k in own or defaults.get(k) != v}
            return state
        return self._tagged(resource, state, state)

    def _tagged(self, resource: Resource, properties: Props, inputs: Props) -> Props:
        if not resource.taggable:
            return properties
        unknown = wire.is_unknown(inputs.get("tags"))
        return {**properties, "tagsAll": wire.UNKNOWN if unknown else self._aws.tags_all(inputs)}


def _keeps_own_name(resource: Resource, old: Props, new: Props) -> bool:
    """Returns whether old and new object would bear one name that the program itself gave."""
    key = resource.name_property
    return key is not None and key not in new.get(DEFAULTS_KEY, ()) and old.get(key) == new.get(key)


def _diff_response(
    changed: list[str],
    replaces: list[str],
    *,
    added: Collection[str] = (),
    removed: Collection[str] = (),
    stables: Collection[str] = (),
    delete_first: bool = False,
) -> Any:
    details = {}
    for key in changed:
        action = "ADD" if key in added else "DELETE" if key in removed else "UPDATE"
        kind = getattr(_DIFF, f"{action}_REPLACE" if key in replaces else action)
        details[key] = _DIFF(kind=kind, inputDiff=key != "tagsAll")
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=changed,
        replaces=replaces,
        stables=stables,
        deleteBeforeReplace=delete_first,
        detailedDiff=details,
        hasDetailedDiff=True,
    )
