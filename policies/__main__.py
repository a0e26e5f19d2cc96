"""Entry point of the policy pack: `pulumi up --policy-pack policies`."""

import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack

# The engine runs this folder as a program, so `policies` and `components` are importable only through its parent.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.catalogue import RULES

# PolicyPack serves until the engine ends the process: importing this module must not start it.
if __name__ == "__main__":
    PolicyPack(
        "agent-environments",
        policies=[rule.policy for rule in RULES],
        enforcement_level=EnforcementLevel.MANDATORY,
        description="The fence of agent Environments and Sessions",
    )
