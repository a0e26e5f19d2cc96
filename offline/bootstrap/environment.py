"""Writes `.toolchain/env.sh`: the one file to source before typing `pulumi` by hand."""

import shlex

from offline.bootstrap.layout import Layout

REGION = "eu-west-1"
# No secret: it encrypts the demo's state, which holds nothing that is one.
_PASSPHRASE = "agent-environments"
_PATH_GUARD = """\
case ":$PATH:" in
  *":{folder}:"*) ;;
  *) PATH={quoted}:$PATH ;;
esac
"""
# They would win over the keys below, or send a session token along with them.
_UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "PYTHONHOME")


def variables(layout: Layout, *, endpoint: str, registry: str, base_image: str) -> dict[str, str]:
    """Returns the environment variables of the toolchain and of the emulated AWS.

    Args:
        layout: the checkout.
        endpoint: URL of the emulated AWS.
        registry: `host:port` of the registry that stands behind the emulated ECR.
        base_image: reference of the base image, by digest.
    """
    return {
        "VIRTUAL_ENV": str(layout.venv),
        "PULUMI_HOME": str(layout.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{layout.state}",
        "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOCKER_BUILDKIT": "1",
        "AGENT_ENVIRONMENTS_ECR_REGISTRY": registry,
        "AGENT_ENVIRONMENTS_BASE_IMAGE": base_image,
        "AGENT_ENVIRONMENTS_OFFLINE_STATE": str(layout.state / "aws"),
    }


def write(layout: Layout, values: dict[str, str]) -> None:
    """Writes the file, and makes the folder of Pulumi's back end.

    Args:
        layout: the checkout.
        values: variable -> value.
    """
    layout.state.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Written by the set-up (make demo, make test). Source it, then type pulumi: it talks to the emulated AWS.",
        f"unset {' '.join(_UNSET)}",
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    for folder in (layout.venv / "bin", layout.bin):
        lines.append(_PATH_GUARD.format(folder=folder, quoted=shlex.quote(str(folder))).rstrip())
    lines.append("export PATH")
    text = "\n".join(lines) + "\n"
    if not layout.env_file.is_file() or layout.env_file.read_text() != text:
        layout.env_file.write_text(text)
