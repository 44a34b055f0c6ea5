"""A real Kubernetes control plane on this machine, with simulated nodes, for the demo and for the tests.

    from playground.kube import Cluster

    with Cluster() as cluster:
        cluster.apply("deploy/kubernetes")
        bot = cluster.service_account_kubeconfig("mlops-bot", "mlops-bot")

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs (`programs.py` says where they
come from); only the machines that would run the containers are simulated (`nodes.py`).
"""

from playground.kube.api import Api, ApiError
from playground.kube.cluster import Cluster
from playground.kube.programs import MissingPrograms, Programs, find

__all__ = ["Api", "ApiError", "Cluster", "MissingPrograms", "Programs", "find"]
