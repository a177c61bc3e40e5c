"""Servers as guests of a Proxmox VE cluster: containers (LXC) and virtual machines (QEMU)."""

from jobs.hosts.proxmox.host import ProxmoxHost

__all__ = ["ProxmoxHost"]
