"""A task that is begun and completed by hand, by a thread."""

import threading

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
done = threading.Event()


@app.entrypoint
def manual_task_control(payload):
    """Begins a task in a thread and answers with its number."""
    if payload.get("finish"):
        done.set()
        return app.get_async_task_info()["active_count"] < 2
    task_id = app.add_async_task("data_processing", {"batch_size": 10})

    def background_work():
        done.wait()
        app.complete_async_task(task_id)

    threading.Thread(target=background_work, daemon=True).start()
    return {"task_id": task_id, "status": "begun"}
