"""Servers as custom resources of a Kubernetes cluster, each kept by an operator that runs there."""

from jobs.hosts.kubernetes.host import KubernetesHost

__all__ = ["KubernetesHost"]
