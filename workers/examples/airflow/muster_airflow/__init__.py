"""Runs of Muster's rule transformations as tasks of Apache Airflow."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks a provider package for: here, its connection type."""
    return {
        "package-name": "muster-airflow",
        "name": "Muster",
        "description": "Starts runs of Muster's rule transformations and waits for them.",
        "connection-types": [
            {
                "connection-type": "muster",
                "hook-class-name": "muster_airflow.hook.MusterHook",
                "hook-name": "Muster",
            }
        ],
    }
