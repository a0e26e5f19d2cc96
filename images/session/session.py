"""What a session container runs when its session names no command of its own.

This release holds no agent runner, and a container that idles in silence would be worse than one that says so.
"""

import json
import os
import sys

EX_CONFIG = 78
"""Exit code for a configuration error (sysexits.h)."""


def main() -> int:
    """Say in one JSON line what is missing.

    Returns:
        78.
    """
    line = {
        "level": "error",
        "event": "no_agent_runner",
        "environment": os.environ.get("AGENTENV_ENVIRONMENT"),
        "message": "No agent runner is in this release, so a session runs the command that it names, and this one "
        "names none. Add `command: [program, argument]` to the session in the stack file.",
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
