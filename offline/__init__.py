"""Stand-ins for what cannot be downloaded: used only where the real part is absent, imported by nothing else."""
