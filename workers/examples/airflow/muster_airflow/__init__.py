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
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "extra"],
                    "relabeling": {"host": "Gateway URL", "login": "Client id", "password": "Client secret"},
                    "placeholders": {"host": "https://muster.example.org"},
                },
                "conn-fields": {
                    "issuer": {
                        "label": "Issuer",
                        "description": "The Keycloak realm, such as https://keycloak.example.org/realms/muster",
                        "schema": {"type": ["string", "null"]},
                    },
                    "token_url": {
                        "label": "Token URL",
                        "description": "In place of the issuer, when the token endpoint has another address for Airflow",
                        "schema": {"type": ["string", "null"]},
                    },
                    "ca_file": {
                        "label": "CA file",
                        "description": "Certificates that sign the gateway's and the issuer's, in place of the usual ones",
                        "schema": {"type": ["string", "null"]},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds that one call may take, beside its waiting; 30 by default",
                        "schema": {"type": ["number", "null"]},
                    },
                },
            }
        ],
    }
