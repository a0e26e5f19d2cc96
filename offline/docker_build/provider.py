# ruff: noqa: ARG002, N802 (gRPC fixes the names of the methods and their arguments)
"""Pulumi's provider protocol for `docker-build`."""

import functools
import importlib.metadata
import json
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from offline.aws import wire
from offline.docker_build import image, index
from offline.docker_build.build import Builder, BuildError, step_of
from offline.docker_build.diff import changed_inputs, replacing
from offline.docker_build.ecr import PushRefusedError
from offline.docker_build.engine_log import EngineLog
from offline.docker_build.inputs import IMAGE, INDEX, checked, is_pushed
from offline.docker_build.reference import parse

_Method = Callable[["Provider", Any, Any], Any]
_CONFIG_PREFIX = "docker-build:config:"
_STEP_WIDTH = 80
_COMPUTED = {IMAGE: image.COMPUTED, INDEX: index.COMPUTED}


def _reported(method: _Method) -> _Method:
    """Turns what a call raises into one gRPC error that names the resource and the cause."""

    @functools.wraps(method)
    def reported(self: "Provider", request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except (BuildError, PushRefusedError, LookupError, OSError) as error:
            _abort(context, f"{_type_of(request.urn)} {_name_of(request.urn)!r}: {error}")

    return reported


def _abort(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort returns to nobody")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service that the engine calls.

    Args:
        log: receives the output of builds.
    """

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._builder = Builder()
        self._registries: list[dict[str, str]] = []

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Gives the version of the installed SDK, which is the one that the engine asks for."""
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi-docker-build"))

    def Handshake(self, request: Any, context: Any) -> Any:
        """Agrees with the engine on what both understand."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        """Ends the builds that run: what they have done so far stays in the engine's cache."""
        self._builder.cancel()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Takes the provider's settings as they are."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Says that no setting of the provider makes its resources new ones."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        """Takes the address of the Docker engine and the registries' log-ins."""
        settings = wire.decode(request.args)
        for name, text in request.variables.items():
            settings.setdefault(name.removeprefix(_CONFIG_PREFIX), text)
        if settings.get("host"):
            self._builder = Builder(settings["host"])
        registries = settings.get("registries") or []
        # The SDK sends the provider's own nested settings as JSON text.
        self._registries = json.loads(registries) if isinstance(registries, str) else registries
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_reported
    def Check(self, request: Any, context: Any) -> Any:
        """Checks a resource's inputs against the SDK's declaration and the stand-in's reach."""
        inputs, failures = checked(_type_of(request.urn), wire.decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=wire.encode(inputs, wire.secret_keys(request.news)),
            failures=[provider_pb2.CheckFailure(property=f.path, reason=f.reason) for f in failures],
        )

    @_reported
    def Diff(self, request: Any, context: Any) -> Any:
        """Says which inputs, or which files of the build context, have changed."""
        token = _type_of(request.urn)
        old, new = wire.decode(request.old_inputs), wire.decode(request.news)
        changed = changed_inputs(old, new) - set(request.ignoreChanges)
        if token == IMAGE and not wire.is_unknown([new.get("context"), new.get("dockerfile")]):
            before = wire.decode(request.olds).get("contextHash")
            if image.context_hash(new) != before and "contextHash" not in request.ignoreChanges:
                changed.add("contextHash")
        return _diff_response(changed, replacing(token, changed))

    @_reported
    def Create(self, request: Any, context: Any) -> Any:
        """Builds and pushes; in a preview builds only, and only if nothing unknown is needed for it."""
        inputs = wire.decode(request.properties)
        outputs = self._make(request.urn, inputs, preview=request.preview)
        properties = wire.encode({**inputs, **outputs}, wire.secret_keys(request.properties))
        return provider_pb2.CreateResponse(id=_name_of(request.urn), properties=properties)

    @_reported
    def Update(self, request: Any, context: Any) -> Any:
        """Builds and pushes anew; earlier tags stay, as with the real provider."""
        inputs = wire.decode(request.news)
        outputs = self._make(request.urn, inputs, preview=request.preview)
        return provider_pb2.UpdateResponse(
            properties=wire.encode({**inputs, **outputs}, wire.secret_keys(request.news))
        )

    @_reported
    def Read(self, request: Any, context: Any) -> Any:
        """Refreshes a resource: tags that are gone are taken out, and without any the resource is gone."""
        state, inputs = wire.decode(request.properties), wire.decode(request.inputs)
        tags, digest = _pushed(_type_of(request.urn), state)
        present = image.present_tags(tags, digest)
        if tags and not present:
            return provider_pb2.ReadResponse()
        if present != tags:
            state["tags"] = inputs["tags"] = present
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=wire.encode(state, wire.secret_keys(request.properties)),
            inputs=wire.encode(inputs, wire.secret_keys(request.inputs)),
        )

    @_reported
    def Delete(self, request: Any, context: Any) -> Any:
        """Deletes what was pushed; a resource with `retain_on_delete` never comes here."""
        for tag in image.remove(*_pushed(_type_of(request.urn), wire.decode(request.properties))):
            self._log.warning(request.urn, f"{tag} is left in its registry: only the local one is deleted from")
        return empty_pb2.Empty()

    def _make(self, urn: str, inputs: dict[str, Any], *, preview: bool) -> dict[str, Any]:
        """Returns the outputs; those that only the update can tell are unknown in a preview."""
        token = _type_of(urn)
        unknown = dict.fromkeys(_COMPUTED[token], wire.UNKNOWN)
        if preview and (token == INDEX or inputs.get("buildOnPreview") is False):
            return unknown
        if preview and wire.is_unknown(inputs):
            self._log.warning(urn, "Skipping preview build because some inputs are unknown.")
            return unknown
        if token == INDEX:
            return index.make(inputs)
        registries = [*self._registries, *(inputs.get("registries") or [])]
        outputs = image.make(self._builder, inputs, registries, preview=preview, on_line=self._reporter(urn))
        return {**unknown, "contextHash": outputs["contextHash"]} if preview else outputs

    def _reporter(self, urn: str) -> Callable[[str], None]:
        """Returns what passes on a build's output: every line to the debug log, each step once to the display."""
        shown: set[str] = set()

        def report(line: str) -> None:
            self._log.debug(urn, line)
            step = step_of(line)
            if step and step not in shown:
                shown.add(step)
                self._log.status(urn, textwrap.shorten(step, _STEP_WIDTH, placeholder=" ..."))

        return report


def _pushed(token: str, state: dict[str, Any]) -> tuple[list[str], str]:
    """Returns the tags that a resource pushed, and the digest of what it pushed."""
    if token == INDEX:
        return ([state["tag"]], parse(state["ref"]).digest) if state.get("push") is not False else ([], "")
    return (state.get("tags") or [], state.get("digest", "")) if is_pushed(state) else ([], "")


def _type_of(urn: str) -> str:
    """Returns `docker-build:index:Image` of `urn:pulumi:stack::project::parent$docker-build:index:Image::name`."""
    return urn.split("::")[2].rpartition("$")[2]


def _name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def _diff_response(changed: set[str], replaces: set[str]) -> Any:
    kinds = provider_pb2.PropertyDiff
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted(changed),
        replaces=sorted(replaces),
        detailedDiff={
            key: kinds(kind=kinds.UPDATE_REPLACE if key in replaces else kinds.UPDATE, inputDiff=key != "contextHash")
            for key in changed
        },
        hasDetailedDiff=True,
    )
