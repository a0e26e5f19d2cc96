"""Stand-in for `pulumi-language-python`: runs Pulumi programs, policy packs and plugins under this Python."""
