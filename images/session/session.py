"""What a session container starts: one agent's run, several agents, a server, or a program of the team's own.

session.py                    what the declaration says
session.py keeper NAME [GID]  starts one of several agents, as that agent's user; makes their shared folder for GID
session.py agent NAME         one of several agents, as its keeper starts it
session.py exec -- COMMAND    a program of the team's own
"""

import os
import sys

# Python in isolated mode looks for modules nowhere near its program.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

from agentenv_session.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
