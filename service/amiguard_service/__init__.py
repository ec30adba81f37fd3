"""The gRPC server of amiguard."""
