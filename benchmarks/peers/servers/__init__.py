"""The contenders' servers, each in the few lines that its own documentation suggests; run by benchmarks.peers."""
