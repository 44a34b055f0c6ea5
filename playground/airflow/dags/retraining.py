"""The playground's training pipeline: two tasks, and a conf that says how it shall end. For Airflow 2 and 3."""

import time
from pathlib import Path

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

GATE = Path(__file__).with_name("go")  # the pipeline waits for this file when its conf says so


@dag(schedule=None, catchup=False, max_active_runs=1, params={"rows": 100, "end": "well", "wait": False})
def retraining():
    @task
    def read_labels(params=None):
        deadline = time.monotonic() + 120
        while params["wait"] and not GATE.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return params

    @task
    def fit(told):
        print(f"training on {told['rows']} rows")
        if told["end"] == "few":
            raise ValueError(f"too few labels: {told['rows']} of at least 200")
        if told["end"] == "memory":
            raise MemoryError
        if told["end"] == "gate":
            raise RuntimeError("the evaluation gate refused the new model: F1 rose by 0.4 %, 2 % are wanted")
        if told["end"] == "code":
            raise KeyError("labels")

    fit(read_labels())


retraining()
