"""One DAG for each way that a task may be set up; the step comes with the start."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from muster_airflow.operator import MusterRunDeferrableOperator, MusterRunOperator


def case(dag_id: str, kind: type[MusterRunOperator], **task: Any) -> DAG:
    with DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False) as dag:
        kind(task_id="run", step="{{ dag_run.conf['step'] }}", poll_interval=2, patience=120, **task)
    return dag


plain = case("plain", MusterRunOperator)
deferred = case("deferred", MusterRunDeferrableOperator)
retried = case("retried", MusterRunOperator, retries=1, retry_delay=timedelta(seconds=1))
late = case("late", MusterRunOperator, execution_timeout=timedelta(seconds=5))
late_deferred = case("late_deferred", MusterRunDeferrableOperator, execution_timeout=timedelta(seconds=5))
