import grpc
from pulumi.runtime.proto import language_pb2_grpc

from offline.language_host.host import LanguageHost
from offline.plugin import engine_address, serve


def register(server: grpc.Server) -> None:
    """Adds the language runtime service."""
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(engine_address()), server)


if __name__ == "__main__":
    serve(register)
