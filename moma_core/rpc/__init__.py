"""The wire: gRPC and protobuf, both ports over them. Nothing above knows that it exists."""
