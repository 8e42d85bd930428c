"""Who may see what, read anew every night."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from muster_airflow.operator import MusterRunOperator

with DAG(
    dag_id="access_rules",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    MusterRunOperator(
        task_id="nightly",
        step="nightly",
        deferrable=True,
        execution_timeout=timedelta(hours=2),
    )
