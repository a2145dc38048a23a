# The image of the agent `{{agent}}`. Written by `agentcore launch`; changes made here are lost.
# By hand, after `agentcore launch` has put the program here: docker build .agentcore/{{agent}}
FROM scratch
# Certificate authorities, /etc/passwd, and the folders that the agent may write to.
ADD root.tar /
ENV DOCKER_CONTAINER=1 AGENTCORE_LISTEN=0.0.0.0:8080 HOME=/home/agent SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /app
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/agent"]
COPY agent /usr/local/bin/agent
