"""The gRPC front: checks requests, enqueues jobs, streams results back. It holds no state; run as many as you like."""
