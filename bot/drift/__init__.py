"""The contract between the serving process and the drift worker: what is asked, what comes back, and who runs it.

The standard library only: neither side can break the other's imports. `asked` is the question and the profile it is
made from, `report` the answer, `wire` their JSON, `runner` starts the worker (`handlers.drift.worker`), bounds it, and
turns each way it can fail into a sentence.
"""
