"""The programs that read the deployment examples accept them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"


def tool(name: str, package: str) -> str:
    """Return where a program is."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing; Debian and Ubuntu: apt-get install {package}"
    return found


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for path in (FOLDER / "systemd").glob("*.service"):
        text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", path.read_text("utf-8"))  # it is not installed here
        name = path.name.replace("@.", "@repair.")
        (tmp_path / name).write_text(re.sub(r"^User=.*\nGroup=.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    units = sorted(str(path) for path in tmp_path.iterdir())
    command = [tool("systemd-analyze", "systemd"), "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "forbear" in line]
    assert not ours, "\n".join(ours)


def test_nginx_accepts_the_proxy(tmp_path: Path) -> None:
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=hooks.example.org",
                   "-keyout", "privkey.pem", "-out", "fullchain.pem"]  # fmt: skip
    subprocess.run(certificate, cwd=tmp_path, check=True, capture_output=True)
    for name in ("nginx.conf", "nginx-compose.conf"):
        text = (FOLDER / name).read_text("utf-8")
        text = re.sub(r"/etc/letsencrypt/live/hooks\.example\.org", str(tmp_path), text)
        text = text.replace("server web:8080", "server 127.0.0.1:8080")  # a name of the compose network
        whole = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
        (tmp_path / name).write_text(whole, encoding="utf-8")
        command = [tool("nginx", "nginx-light"), "-t", "-c", str(tmp_path / name), "-p", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
