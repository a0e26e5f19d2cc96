"""One module per AWS service: `RESOURCES`, a list of handlers, and `INVOKES`, functions by token."""
