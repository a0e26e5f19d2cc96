"""The egress gateway against a direct connection and against Squid, on loopback, in one run."""
