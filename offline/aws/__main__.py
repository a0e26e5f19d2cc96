"""The plugin process: `python -m offline.aws [ENGINE_ADDRESS]` prints its gRPC port and serves the engine."""

from pulumi.runtime.proto import provider_pb2_grpc

from offline.aws.provider import Provider
from offline.plugin import serve

if __name__ == "__main__":
    serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server))
