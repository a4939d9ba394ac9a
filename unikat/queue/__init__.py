"""Jobs in Redis: every state change, for service and worker. No other package names a key.

The transitions that every image goes through are Lua scripts (`lua/`), each for many jobs at a time; whatever is rare
is done by RQ's own methods. A script checks before it writes, may run twice, and a full server refuses it whole.
"""
