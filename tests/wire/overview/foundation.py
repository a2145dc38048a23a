"""An app in debug mode, and nothing else."""

from bedrock_agentcore import BedrockAgentCoreApp

# The log tells more then, and there are debug actions.
app = BedrockAgentCoreApp(debug=True)
