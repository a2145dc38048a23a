"""An agent that is started in one of the ways that files have; PEER_VARIANT says which."""

import os
import sys
import threading

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.runtime import BedrockAgentCoreApp as SameApp

KIND = os.environ["PEER_VARIANT"]
HERE = []


class Own(BedrockAgentCoreApp):
    """An app with a constructor and a method of its own."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.entrypoint(self.answer)

    def answer(self, payload, context):
        return [self.name, payload, context.session_id]


def answer(payload):
    return [KIND, payload, __name__, HERE]


if KIND == "subclass":
    app = Own("own")
elif KIND == "another-name":
    agent = SameApp()
    agent.entrypoint(answer)
elif KIND == "two-apps":
    other = BedrockAgentCoreApp()
    other.entrypoint(lambda payload: "the other")
    app = BedrockAgentCoreApp()
    app.entrypoint(answer)
elif KIND == "in-a-function":

    def main():
        local = BedrockAgentCoreApp()
        local.entrypoint(answer)
        local.run()

    main()
elif KIND == "run-of-the-function":
    app = BedrockAgentCoreApp()

    @app.entrypoint
    def decorated(payload):
        return answer(payload)

    decorated.run(port=9999)
elif KIND == "run-with-options":
    app = BedrockAgentCoreApp()
    app.entrypoint(answer)
    app.run(port=9999, host="0.0.0.0", log_level="error", timeout_keep_alive=60)
elif KIND == "private-handlers":
    app = BedrockAgentCoreApp()
    app.handlers["main"] = answer
elif KIND == "thread":
    app = BedrockAgentCoreApp()
    app.entrypoint(answer)
    thread = threading.Thread(target=app.run)
    thread.start()
    thread.join()
elif KIND == "argv":
    HERE = [sys.argv[1:], os.path.basename(sys.argv[0]), os.path.basename(__file__), __name__ == "__main__"]
    app = BedrockAgentCoreApp()
    app.entrypoint(answer)
elif KIND == "run-before-the-entrypoint":
    app = BedrockAgentCoreApp()
    app.run()
    app.entrypoint(answer)
