"""What answers like the head of a Ray cluster, as far as is asked before one is joined.

At 127.0.0.2: Ray takes 127.0.0.1 for whatever address the machine has to the outside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import grpc
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.core.generated.gcs_pb2 import GcsNodeInfo

HOST = "127.0.0.2"


class _Head(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    def __init__(self, version: str, node: GcsNodeInfo, *, refuses: bool) -> None:
        self._version = version
        self._node = node
        self._refuses = refuses

    def CheckAlive(self, request: object, context: grpc.ServicerContext) -> object:  # noqa: ARG002 - gRPC's signature
        if self._refuses:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return gcs_service_pb2.CheckAliveReply(ray_version=self._version)

    def GetAllNodeInfo(self, request: object, context: grpc.ServicerContext) -> object:  # noqa: ARG002
        return gcs_service_pb2.GetAllNodeInfoReply(node_info_list=[self._node])


@contextmanager
def head(version: str, socket: str = "/nowhere", *, node: str = HOST, alive: bool = True, refuses: bool = False) -> Iterator[str]:
    """Its HOST:PORT. `socket`, `node` and `alive`: of its only node, the last being its address."""
    state = GcsNodeInfo.ALIVE if alive else GcsNodeInfo.DEAD
    info = GcsNodeInfo(raylet_socket_name=socket, node_manager_address=node, state=state)
    server = grpc.server(ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(_Head(version, info, refuses=refuses), server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def dashboard(status: int, body: object) -> Iterator[str]:
    """The URL of one that gives this answer to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
