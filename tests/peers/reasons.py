"""Why the native engine answers otherwise than the official SDK: every difference that is meant, once, in words."""

from rows import Differs

ERROR_TYPE = "errors say their type"
ERROR_TEXT = "an error whose text cannot be had or sent is still told, with its type"
STOP_ITERATION = "what a plain function raises is what it raised, also if generators end that way"
HEADERS = "who names headers in an HTTP error means them to be sent"
NO_BODY = "what has no body has no type of it"
DETAIL = "a detail of an HTTP error is told however odd it is"
ENDS = "whatever ends an invocation is an error that says what it was, and ends nothing else"
LEAF = "a value that JSON lacks is written on its own, as what stands for it best"
HALF = "half a character is written as the escape that JSON has for it"
TOO_DEEP = "a value that is too deep to be written is cut off, as a circle is"
COROUTINE = "a coroutine that is returned is meant to be awaited"
BAD_BODY = "a body that cannot be read is the caller's mistake, not the server's"
NO_OBJECT = "a payload that is no object asks for no debug action"
CONTEXT_OF_ITS_OWN = "a generator has one context, from its first item to its last"
EXECUTOR = "the context of a request holds in threads of the event loop"
OWN_REQUEST = "without Starlette a request is the package's own: a URL is a text, and has its own words"
NO_STATUS = "what is no status is a failure of the ping handler, so that the tasks decide"
ANY_CALLABLE = "the official decorator accepts these, and then fails for want of a name"
NAMES = "a parameter that takes all names is not asked for by name"
PING = "pings are answered by the server, whatever the agent's process does; they pass no middleware"
NOWHERE = "it is not that the caller must not, but that there is nothing"
REFUSED = "a refused handshake has no body, and leaves its connection open"
STAYS = "a handshake that is refused leaves its connection open"
NOT_ACCEPTED = "a handler that returns without accepting or refusing has failed"
CLOSES = "a handler that returns has closed its connection, and says so"
FAILS_TO_CLOSE = "a close that cannot be sent is a failure with a code of its own, not a cut connection"
WORDS = "the words in a close are each server's own"
NO_DEFLATE = "the server compresses no messages"
HANDSHAKE = "a handshake that is none is told what it lacks, in the server's own words"
LENGTH = "an answer that is there as a whole says its length"
NO_END = "an answer to HEAD has no body whose end could be told"
HOST = "a host that is none is not repeated, and the address of the server is not told instead"
FORWARDED = "who a request was forwarded for is not believed from anybody"
SAID_BRIEFLY = "a request that is none gets its status and no words"
LENIENT = "a request that is clear is answered"
STRICT = "a request that two readers could read in two ways is refused"
CLOSES_ANYWAY = "a connection of HTTP/1.0 ends without its being said"
TOO_LARGE = "heads of requests have limits"
LATE_ENTRYPOINT = "an entrypoint that is registered after `run()` is served"


def with_type(kind):
    """The error that the SDK tells, with the type of the exception."""
    return Differs(ERROR_TYPE, body=lambda body: f'{body[:-1]},"error_type":"{kind}"}}')


def json_instead(reason, body, status=200):
    """Another JSON text, with a status of its own."""
    return Differs(reason, status=status, body=body, headers={"content-type": "application/json"})
