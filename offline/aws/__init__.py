"""Stand-in for the `aws` resource plugin: Pulumi's provider protocol in front of an AWS emulator (moto)."""
