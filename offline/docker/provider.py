# ruff: noqa: ARG002, N802 (gRPC fixes the names of the methods and their arguments)
"""Pulumi's provider protocol for `docker`."""

import functools
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from offline.aws import wire
from offline.aws.check import DEFAULTS_KEY
from offline.docker.compare import changed_inputs, refreshed_inputs
from offline.docker.engine import Engine, EngineError
from offline.docker.inputs import check_settings, checked, declared, kind_of, name_automatically
from offline.docker.kind import Kind, Props
from offline.docker_build.engine_log import EngineLog

_Method = Callable[["Provider", Any, Any], Any]
_CONFIG_PREFIX = "docker:config:"
# A shorter secret would blank out half of the message and is none.
_SECRET_CHARACTERS = 4


def _reported(method: _Method) -> _Method:
    """Turns what a call raises into one gRPC error that names the resource and the cause."""

    @functools.wraps(method)
    def reported(self: "Provider", request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except (EngineError, LookupError, OSError) as error:
            urn = getattr(request, "urn", "")
            subject = f"{_type_of(urn)} {_name_of(urn)!r}: " if urn else ""
            _abort(context, f"{subject}{_masked(str(error), request)}")

    return reported


def _abort(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort returns to nobody")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service that Pulumi's engine calls.

    Args:
        log: receives warnings.
    """

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._engine = Engine()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Gives the version of the installed SDK, which is the one that the engine asks for."""
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi-docker"))

    def Handshake(self, request: Any, context: Any) -> Any:
        """Agrees with the engine on what both understand."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        """Ends what waits; a container that is being made is removed again."""
        self._engine.cancel()
        return empty_pb2.Empty()

    @_reported
    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Checks the provider's settings."""
        return provider_pb2.CheckResponse(
            inputs=request.news, failures=_failures(check_settings(wire.decode(request.news)))
        )

    @_reported
    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Compares the provider's settings; none makes its resources new ones."""
        old, new = wire.decode(request.old_inputs), wire.decode(request.news)
        return _diff_response({key for key in {*old, *new} if old.get(key) != new.get(key)}, frozenset())

    @_reported
    def Configure(self, request: Any, context: Any) -> Any:
        """Takes the engine's address."""
        settings = wire.decode(request.args)
        for name, text in request.variables.items():
            settings.setdefault(name.removeprefix(_CONFIG_PREFIX), text)
        self._engine = Engine(settings.get("host") or None)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_reported
    def Check(self, request: Any, context: Any) -> Any:
        """Checks a resource's inputs, and fills in its name."""
        kind = kind_of(_type_of(request.urn))
        inputs, failures = checked(kind, wire.decode(request.news))
        if kind.is_named:
            old = wire.decode(request.olds)
            failures += name_automatically(inputs, old, _name_of(request.urn), request.randomSeed)
        return provider_pb2.CheckResponse(
            inputs=wire.encode(inputs, wire.secret_keys(request.news)), failures=_failures(failures)
        )

    @_reported
    def Diff(self, request: Any, context: Any) -> Any:
        """Says which inputs differ from what is there, and whether that makes a new object."""
        kind = kind_of(_type_of(request.urn))
        state, new = wire.decode(request.olds), wire.decode(request.news)
        ignored = {path.replace("[", ".").partition(".")[0] for path in request.ignoreChanges}
        changed = changed_inputs(kind, declared(kind), state, new) - ignored
        replaces = changed & kind.replacing
        keeps_name = "name" not in {*new.get(DEFAULTS_KEY, ()), *changed} and kind.is_named
        return _diff_response(changed, replaces, delete_first=bool(replaces) and (kind.delete_first or keeps_name))

    @_reported
    def Create(self, request: Any, context: Any) -> Any:
        """Makes the object; in a preview, gives back what is known of it."""
        kind = kind_of(_type_of(request.urn))
        inputs = wire.decode(request.properties)
        secrets = wire.secret_keys(request.properties)
        if request.preview:
            state = {**dict.fromkeys(kind.outputs | kind.computed, wire.UNKNOWN), **_state(inputs, {})}
            return provider_pb2.CreateResponse(properties=wire.encode(state, secrets))
        own_id, observed = kind.create(self._engine, inputs)
        return provider_pb2.CreateResponse(
            id=own_id, properties=wire.encode(_state(inputs, observed, with_id=own_id), secrets)
        )

    @_reported
    def Read(self, request: Any, context: Any) -> Any:
        """Refreshes a resource: gives what the engine has now, and the inputs that would have led there."""
        kind = kind_of(_type_of(request.urn))
        state, inputs = wire.decode(request.properties), wire.decode(request.inputs)
        if not state:
            raise LookupError(
                "the stand-in for the docker provider cannot import or look up existing objects by id: "
                "leave out import and get, or use the real docker plugin"
            )
        observed = kind.read(self._engine, request.id, state)
        if observed is None:
            return provider_pb2.ReadResponse()
        secrets = wire.secret_keys(request.properties) | wire.secret_keys(request.inputs)
        now = _state(state, observed, with_id=request.id)
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=wire.encode(now, secrets),
            inputs=wire.encode(refreshed_inputs(kind, inputs, now), secrets),
        )

    @_reported
    def Update(self, request: Any, context: Any) -> Any:
        """Changes the object in place as far as the real provider does, and warns of what that leaves out."""
        kind = kind_of(_type_of(request.urn))
        state, inputs = wire.decode(request.olds), wire.decode(request.news)
        changed = changed_inputs(kind, declared(kind), state, inputs)
        if not request.preview and changed & kind.updating:
            kind.update(self._engine, request.id, inputs)
        for key in sorted(changed - kind.updating - kind.recorded):
            self._warn(request.urn, kind, key)
        # What did not change stays as it was read: the program does not know which port the engine chose.
        kept = {key: value for key, value in state.items() if key not in changed}
        now = {**kept, **{key: inputs[key] for key in changed if inputs.get(key) is not None}}
        secrets = wire.secret_keys(request.olds) | wire.secret_keys(request.news)
        return provider_pb2.UpdateResponse(properties=wire.encode(now, secrets))

    @_reported
    def Delete(self, request: Any, context: Any) -> Any:
        """Removes the object; one that is gone already is fine."""
        kind = kind_of(_type_of(request.urn))
        kind.delete(self._engine, request.id, wire.decode(request.properties))
        return empty_pb2.Empty()

    @_reported
    def Invoke(self, request: Any, context: Any) -> Any:
        """Refuses functions by name."""
        raise LookupError(f"{request.tok}: the stand-in for the docker provider has no functions")

    def _warn(self, urn: str, kind: Kind, key: str) -> None:
        self._log.warning(
            urn,
            f"{key}: the docker provider takes a change of it into its state only, and what runs stays as it is; "
            f"add replace_on_changes=[{key!r}] to the resource's options to have a new {kind.token.rpartition(':')[2]}",
        )


def _state(inputs: Props, observed: Props, with_id: str = "") -> Props:
    """Returns the whole state: inputs, and over them what the engine reports and either side has something of."""
    reported = {key: value for key, value in observed.items() if key in inputs or value not in (None, "", [], {})}
    state = {key: value for key, value in {**inputs, **reported}.items() if key != DEFAULTS_KEY and value is not None}
    return {**state, "id": with_id} if with_id else state


def _masked(message: str, request: Any) -> str:
    """Returns a message without the secrets of the resource that it is about."""
    for name in ("properties", "news", "olds"):
        message_of = getattr(request, name, None)
        if message_of is not None:
            properties = wire.decode(message_of)
            secrets = {text for key in wire.secret_keys(message_of) for text in _texts(properties[key])}
            for text in sorted(secrets, key=len, reverse=True):
                message = message.replace(text, "[secret]")
    return message


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts of a value, and of an environment variable its value alone."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield from (part for part in (value, value.partition("=")[2]) if len(part) >= _SECRET_CHARACTERS)


def _failures(failures: Any) -> list[Any]:
    return [provider_pb2.CheckFailure(property=failure.path, reason=failure.reason) for failure in failures]


def _type_of(urn: str) -> str:
    """Returns `docker:index/network:Network` of `urn:pulumi:s::p::parent$docker:index/network:Network::name`."""
    return urn.split("::")[2].rpartition("$")[2]


def _name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def _diff_response(changed: set[str], replaces: set[str] | frozenset[str], *, delete_first: bool = False) -> Any:
    kinds = provider_pb2.PropertyDiff
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted(changed),
        replaces=sorted(replaces),
        deleteBeforeReplace=delete_first,
        detailedDiff={
            key: kinds(kind=kinds.UPDATE_REPLACE if key in replaces else kinds.UPDATE, inputDiff=False)
            for key in changed
        },
        hasDetailedDiff=True,
    )
