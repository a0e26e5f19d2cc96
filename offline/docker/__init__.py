"""Stand-in for `pulumi-resource-docker`: containers, networks, volumes and images on the engine of this machine."""
