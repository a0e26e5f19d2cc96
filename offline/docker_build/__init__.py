"""Stand-in for `pulumi-resource-docker-build`: `Image` and `Index` through the Docker engine of this machine."""
