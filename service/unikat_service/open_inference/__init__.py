"""The Open Inference Protocol (KServe's v2 over gRPC): what its requests mean is a request of `unikat.v1.Studio`."""
