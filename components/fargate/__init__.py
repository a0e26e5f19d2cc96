"""Sessions as ECS tasks on Fargate."""

from components.fargate.runtime import Fargate, FargateArgs, on_fargate

__all__ = ["Fargate", "FargateArgs", "on_fargate"]
