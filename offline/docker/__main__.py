"""The plugin process: `python -m offline.docker [ENGINE_ADDRESS]` prints its gRPC port and serves the engine."""

from pulumi.runtime.proto import provider_pb2_grpc

from offline.docker.provider import Provider
from offline.docker_build.engine_log import EngineLog
from offline.plugin import engine_address, serve

if __name__ == "__main__":
    log = EngineLog(engine_address())
    serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(log), server))
