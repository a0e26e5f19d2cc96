"""What `make demo` does besides `pulumi up`: prepares a key, plays hosts, verifies sessions and starts one."""
