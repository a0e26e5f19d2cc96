"""The egress gateway of one environment: tunnels to allowed hosts, credentials added on the way, and nothing else."""
