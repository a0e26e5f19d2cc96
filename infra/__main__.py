"""The program: stack file -> validated models -> components -> outputs."""

import pulumi

from components.environment import Environment
from components.models.errors import InvalidInput
from components.models.stack import Stack
from components.plans.cost import REGION
from components.platforms import runtime_of
from components.session import Session, SessionArgs


def declared() -> Stack:
    """The team's stack file.

    Raises:
        pulumi.RunError: something in it is wrong; every problem is named, nothing has been created.
    """
    try:
        return Stack.parse(pulumi.Config("agent-environments").require_object("stack"))
    except InvalidInput as error:
        many = f"{len(error.problems)} problems" if len(error.problems) > 1 else "1 problem"
        raise pulumi.RunError(f"{many} in agent-environments:stack\n{error}") from None


def main() -> None:
    """Declare everything; each environment and session is exported under its name."""
    stack = declared()
    try:
        runtime = runtime_of(stack, "agents")
    except pulumi.InputPropertiesError as error:
        raise pulumi.RunError(f"agent-environments:stack\n{error}") from None
    environments, sessions = {}, {}
    for model in stack.environments:
        environment = Environment(
            model.name,
            {"runtime": runtime, "environment": model, "sessions": stack.sessions_of(model.name)},
            pulumi.ResourceOptions(parent=runtime),
        )
        environments[model.name] = environment.details
        for session in stack.sessions_of(model.name):
            sessions[session.name] = environment.catalogue[session.name]
            if session.is_service or session.schedule:
                args: SessionArgs = {"environment": environment, "session": session}
                own = Session(session.name, args, pulumi.ResourceOptions(parent=environment))
                sessions[session.name] = pulumi.Output.all(sessions[session.name], own.details).apply(
                    lambda known: {**known[0], **known[1]}
                )
    pulumi.export("environments", environments)
    pulumi.export("sessions", sessions)
    pulumi.export("shared_usd_per_hour", runtime.shared_usd_per_hour)
    pulumi.export("prices", f"list prices of {REGION}, for comparing")


main()
