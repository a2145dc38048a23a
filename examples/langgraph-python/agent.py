"""A LangGraph agent with a tool: streams its answer piece by piece, and says at the end which tools it has called.

The checkpointer keeps a conversation for each session id.
"""

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from model import OfflineModel


@tool
def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


app = BedrockAgentCoreApp()
# For a model on Amazon Bedrock: `from langchain_aws import ChatBedrockConverse`, `ChatBedrockConverse(model="…")`.
model = OfflineModel().bind_tools([count_words])


async def call_model(state: MessagesState):
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("model", call_model)
graph.add_node("tools", ToolNode([count_words]))
graph.add_edge(START, "model")
graph.add_conditional_edges("model", tools_condition)
graph.add_edge("tools", "model")
agent = graph.compile(checkpointer=InMemorySaver())


@app.entrypoint
async def answer(payload, context: RequestContext):
    question = {"messages": [("user", payload.get("prompt", ""))]}
    # A caller without a session, as curl is, has one conversation with all others.
    config = {"configurable": {"thread_id": context.session_id or "none"}}
    tools = []
    async for message, _ in agent.astream(question, config, stream_mode="messages"):
        if isinstance(message, AIMessageChunk) and message.content:
            yield message.content
        elif isinstance(message, ToolMessage):
            tools.append(message.name)
    yield {"tools": tools}


if __name__ == "__main__":
    app.run()
