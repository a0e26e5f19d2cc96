"""`agentenv verify`: choose the examiner by the runtime, judge what it saw."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components.plans.probes import control_host, probes
from operate import engine
from operate.docker_verify import DockerExaminer
from operate.evidence import Evidence, Progress, judged, policy_result
from operate.failures import usage
from operate.outputs import AnySession, DockerEnvironment, DockerSession, FargateEnvironment, FargateSession, Outputs

if TYPE_CHECKING:
    from operate.fargate_verify import FargateExaminer


def verify(name: str, outputs: Outputs, wanted: str | None, progress: Progress) -> Evidence:
    """Probe a session from inside.

    Args:
        name: The session's name.
        outputs: Of the stack.
        wanted: The allowed host to reach as the positive control; None: one is chosen.
        progress: Told what is being waited for.

    Raises:
        Failure: there is no such session, or nothing could be probed.
    """
    session = outputs.session(name)
    environment = outputs.environment(session.environment)
    try:
        control = control_host(environment.egress_policy, name, wanted)
    except ValueError as error:
        raise usage(str(error)) from None
    time = datetime.now(UTC)
    tried, examined = _examiner(name, session, outputs).examine(
        lambda around: probes(environment.egress_policy, around, control), progress
    )
    results = judged(tried, examined.lines)
    if examined.policy_in_force is not None:
        results = (policy_result(environment.policy_hash, examined.policy_in_force), *results)
    return Evidence(
        session=name,
        environment=session.environment,
        networking=environment.networking,
        policy_hash=environment.policy_hash,
        time=time,
        examined=examined,
        results=results,
    )


def _examiner(name: str, session: AnySession, outputs: Outputs) -> "DockerExaminer | FargateExaminer":
    environment = outputs.environment(session.environment)
    if isinstance(session, DockerSession) and isinstance(environment, DockerEnvironment):
        return DockerExaminer(engine.connect(), outputs, name, session, environment)
    if isinstance(session, FargateSession) and isinstance(environment, FargateEnvironment):
        # boto3 takes longer to import than a run on Docker to start.
        from operate.fargate_client import clients
        from operate.fargate_tasks import Fargate
        from operate.fargate_verify import FargateExaminer

        return FargateExaminer(Fargate(clients(session.region), environment), outputs, name, session)
    raise usage(f"Session {name!r} and its environment are on different runtimes. Fix: run pulumi up.")
