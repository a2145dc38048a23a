"""The process that holds a Python agent: it runs the agent's file and answers the calls of the server.

Agents do not import this; what they import is `bedrock_agentcore`. The protocol is described in
`docs/worker-protocol.md`.
"""
