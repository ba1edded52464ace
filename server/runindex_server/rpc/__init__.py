"""L4: gRPC. The only package, beside the command line, that knows it or the contract's generated code."""

import os

# Read by gRPC when it is imported. Its own log tells what peers sent, and failures that are told in our words
# too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
