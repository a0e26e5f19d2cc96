"""The agent runner of session containers: one task or a server, one agent or several."""
