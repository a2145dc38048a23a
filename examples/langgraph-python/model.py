"""A model that needs no network: it calls the agent's first tool with the prompt, then says what the tool found."""

import asyncio
import re

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

PAUSE = 0.05  # seconds that a word takes


class OfflineModel(BaseChatModel):
    """Answers as a chat model of LangChain does."""

    @property
    def _llm_type(self):
        return "offline"

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=[tool.name for tool in tools], **kwargs)

    def _generate(self, messages, stop=None, run_manager=None, *, tools=(), **kwargs):
        prompts = [it.content for it in messages if isinstance(it, HumanMessage)]
        if isinstance(messages[-1], ToolMessage):
            message = AIMessage(f"Words in prompt {len(prompts)}: {messages[-1].content}.")
        else:
            call = {"id": f"call-{len(prompts)}", "name": tools[0], "args": {"text": prompts[-1]}}
            message = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        message = self._generate(messages, **kwargs).generations[0].message
        if message.tool_calls:
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_calls=message.tool_calls))
        for word in re.findall(r"\S+\s*", message.content):
            await asyncio.sleep(PAUSE)
            yield ChatGenerationChunk(message=AIMessageChunk(word))
