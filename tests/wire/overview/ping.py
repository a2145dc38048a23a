"""A ping handler of the agent's own, which asks a function of it."""

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.runtime.models import PingStatus

app = BedrockAgentCoreApp()
work = []


def system_busy():
    return bool(work)


@app.ping
def custom_health():
    """Says that there is work, if there is."""
    if system_busy():
        return PingStatus.HEALTHY_BUSY
    return PingStatus.HEALTHY


@app.entrypoint
def invoke(payload):
    work[:] = payload["work"]
    return len(work)
