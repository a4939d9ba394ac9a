"""The supervised process tree of `unikat up`: an embedded Valkey, a service, workers."""
