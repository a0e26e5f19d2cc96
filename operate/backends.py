"""Which runtime a stack is on."""

from operate.outputs import DockerEnvironment, Outputs
from operate.runs import Runs


def runs_of(outputs: Outputs) -> Runs:
    """The runs of a stack; all of its environments are on one runtime."""
    # Each runtime's client takes a while to import, and only one is needed.
    if all(isinstance(environment, DockerEnvironment) for environment in outputs.environments.values()):
        from operate.docker_backend import DockerRuns

        return DockerRuns(outputs)
    from operate.fargate_backend import FargateRuns

    return FargateRuns(outputs)
