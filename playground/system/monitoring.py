"""Configuration of the real Prometheus and the real Alertmanager, and what is asked of them."""

from __future__ import annotations

import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from playground import parts
from playground.system.rules import JOB, WATCHDOG, rule_file
from playground.system.wire import call


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringPrograms:
    """Where the two programs are."""

    prometheus: Path
    alertmanager: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where Alertmanager sends notifications, and with which bearer token (None: without one)."""

    url: str
    token: str | None = None
    watchdog: bool = False  # the alert that always fires is sent too, again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How soon and how often Alertmanager speaks, as its own durations.

    `group_interval` also bounds how late a resolve is told.
    """

    group_wait: str = "1s"
    group_interval: str = "5s"
    repeat_interval: str = "1h"


TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")


def alertmanager_command(program: Path) -> list[str]:
    """How to start Alertmanager here. Raises parts.MissingPart when its templates cannot be put where it looks.

    Debian's build reads its templates from a fixed place and ends without them. An unpacked package has them
    elsewhere, so its `usr/share` is laid over the real one, in a mount namespace that this one program sees.
    """
    share = program.parents[1] / "share"
    if TEMPLATES.is_file() or not (share / "prometheus").is_dir():  # installed, or a build that carries its own
        return [str(program)]
    prefix = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    lay_over = [*prefix, "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', str(share)]
    try:
        subprocess.run([*lay_over, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise parts.MissingPart(
            f"Alertmanager is there ({program}), but not its templates in {TEMPLATES.parent}, and a mount namespace "
            f"was refused ({error}). Install Debian's package prometheus-alertmanager, which puts them there."
        ) from error
    return [*lay_over, str(program)]


def find_programs() -> MonitoringPrograms:
    """The programs of this machine. Raises parts.MissingPart, which says how to get them."""
    return MonitoringPrograms(prometheus=parts.need("prometheus"), alertmanager=parts.need("alertmanager"))


def prometheus_config(folder: Path, *, server_port: int, alertmanager_port: int) -> Path:
    """Write the configuration and the rule file into `folder`; returns the path of the configuration."""
    (folder / "rules.yml").write_text(rule_file())
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]},
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [f"127.0.0.1:{server_port}"]}]}],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def alertmanager_config(folder: Path, webhook: Webhook | None, pace: Pace) -> Path:
    """Write the configuration into `folder`, readable by its owner only because it holds the token.

    Without a webhook nobody is told.
    """
    route: dict[str, Any] = {
        "receiver": "mlops-bot" if webhook else "nobody",
        "group_by": ["alertname", "system", "model"],
        "group_wait": pace.group_wait,
        "group_interval": pace.group_interval,
        "repeat_interval": pace.repeat_interval,
        "routes": [{"receiver": "nobody", "matchers": [f'alertname="{WATCHDOG}"']}],
    }
    if webhook and webhook.watchdog:
        often = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
        route["routes"] = [{"receiver": "mlops-bot", "matchers": [f'alertname="{WATCHDOG}"'], **often}]
    receivers: list[dict[str, Any]] = [{"name": "nobody"}]
    if webhook:
        target: dict[str, Any] = {"url": webhook.url, "send_resolved": True}
        if webhook.token:
            target["http_config"] = {"authorization": {"type": "Bearer", "credentials": webhook.token}}
        receivers.append({"name": "mlops-bot", "webhook_configs": [target]})
    path = folder / "alertmanager.yml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump({"route": route, "receivers": receivers}, sort_keys=False))
    return path


def query_number(prometheus_url: str, expression: str) -> float | None:
    """The one number `expression` gives now.

    None when there is no sample or it is NaN. Raises CallFailed when Prometheus does not answer.
    """
    answer = call("GET", f"{prometheus_url}/api/v1/query", query={"query": expression})
    result = answer["data"]["result"]
    if not result:
        return None
    number = float(result[0]["value"][1])
    return None if math.isnan(number) else number


def firing_alerts(alertmanager_url: str) -> list[str]:
    """Names of the alerts Alertmanager holds as active, without the one that always fires."""
    alerts = call("GET", f"{alertmanager_url}/api/v2/alerts", query={"active": "true"})
    names = {str(alert["labels"].get("alertname", "")) for alert in alerts}
    return sorted(names - {WATCHDOG})
