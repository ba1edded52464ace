"""Records what LangChain and LangGraph execute, as a tree of runs, while it happens.

    from runindex.langchain import RunIndexCallbackHandler

    handler = RunIndexCallbackHandler("127.0.0.1:50051")
    graph.invoke(inputs, {"callbacks": [handler]})

What the library calls a run is a run here: a graph, a node, a chain, a tool, a model, a retriever, each
under the one that called it, and the first under the block of `client.run` around it.
`RunIndexCallbackHandler` tells the rest.
"""

try:
    import langchain_core.callbacks  # noqa: F401  # Whether it is there, before anything needs it.
except ImportError as missing:
    msg = "runindex.langchain needs langchain-core: pip install 'runindex[langchain]'"
    raise ImportError(msg) from missing

from runindex.langchain._handler import RunIndexCallbackHandler

__all__ = ["RunIndexCallbackHandler"]
