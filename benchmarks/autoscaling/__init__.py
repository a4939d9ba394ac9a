"""Workers that come and go with the load, as KEDA and Kubernetes decide by deploy/kubernetes/autoscaling."""
