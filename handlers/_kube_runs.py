"""When a CronJob ran, as far as the cluster still has its Jobs: by default the last three and the last failed one."""

from __future__ import annotations

from datetime import datetime

from bot.policy import JobProfile
from bot.ports import Thing, Workloads
from handlers._kube import JOB, condition, dig, items, moment


def runs_of(
    port: Workloads, job: JobProfile, since: datetime, until: datetime
) -> list[tuple[datetime, datetime | None]]:
    """Begin and end of the Jobs that began between these times, whoever made them. Raises Foreign."""
    found = []
    for one in port.list(Thing(kind=JOB, namespace=job.namespace)):
        owners = [(owner.get("kind"), owner.get("name")) for owner in items(one, "metadata", "ownerReferences")]
        began_at = moment(dig(one, "status", "startTime"))
        if ("CronJob", job.cronjob) in owners and began_at is not None and since <= began_at <= until:
            failed = condition(one, "Failed")  # only a good end has a time of its own
            ended = failed.get("lastTransitionTime") if failed.get("status") == "True" else None
            found.append((began_at, moment(dig(one, "status", "completionTime") or ended)))
    return sorted(found, key=lambda run: run[0], reverse=True)
