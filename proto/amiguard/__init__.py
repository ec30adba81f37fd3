"""The wire contract of amiguard: protobuf messages and gRPC stubs, by version."""
