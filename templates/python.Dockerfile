# The image of the agent `{{agent}}`. Written by `agentcore launch`; changes made here are lost.
# By hand, in the folder of the agent's source: docker build -f .agentcore/{{agent}}/Dockerfile .
# BuildKit leaves out what `Dockerfile.dockerignore` beside this file lists. The classic builder knows only `.dockerignore`
# in the source: without one it copies everything, secrets too, and one that lists `.agentcore` needs the exception
# `!.agentcore/{{agent}}/agentcore-host`.
FROM {{base}}
USER 0:0
WORKDIR /app
RUN mkdir -p /home/agent && chown 10001:10001 /app /home/agent
{{dependencies}}
COPY .agentcore/{{agent}}/agentcore-host /usr/local/bin/agentcore-host
ENV DOCKER_CONTAINER=1 AGENTCORE_LISTEN=0.0.0.0:8080 HOME=/home/agent PYTHONUNBUFFERED=1
EXPOSE 8080
ENTRYPOINT {{entrypoint}}
{{source}}
