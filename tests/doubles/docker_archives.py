"""The files of a container of the Docker double: real directories behind the mounts, packed and unpacked as tar."""

from __future__ import annotations

import base64
import io
import json
import shutil
import stat
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_GO_KINDS = {stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFIFO: 1 << 25, stat.S_IFSOCK: 1 << 24}


@dataclass(frozen=True)
class Archives:
    """What the archive calls of the API see. mounts: directory in the container -> directory of the volume."""

    mounts: dict[str, Path]

    def at(self, path: str) -> Path | None:
        """Return where a path of the container is; None when nothing stands there."""
        for target, root in self.mounts.items():
            if path == target or path.startswith(target + "/"):
                found = root / path.removeprefix(target).strip("/")
                try:
                    found.lstat()
                except (FileNotFoundError, NotADirectoryError):
                    return None
                return found
        return None

    def packed(self, path: str) -> bytes:
        """Return a path as the Engine packs it: below its own last name, in the order of names."""
        found = self.at(path)
        assert found is not None
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(found, path.rstrip("/").rpartition("/")[2])
        return whole.getvalue()

    def unpack(self, path: str, content: bytes) -> bool:
        """Unpack a tar into a directory, or into one above a mount; tell whether there is one."""
        found = self.at(path)
        if found is not None and found.is_dir():
            self._extract(found, content, "")
            return True
        above = path.rstrip("/") + "/"
        inside = [(target, root) for target, root in self.mounts.items() if target.startswith(above)]
        for target, root in inside:
            self._extract(root, content, target.removeprefix(above))
        return bool(inside)

    @staticmethod
    def _extract(root: Path, content: bytes, top: str) -> None:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            if hasattr(tarfile, "fully_trusted_filter"):
                archive.extraction_filter = tarfile.fully_trusted_filter
            for member in archive.getmembers():
                if top and member.name == top:
                    member.name = "."
                elif top:
                    member.name = member.name.removeprefix(f"{top}/")
                    member.linkname = member.linkname.removeprefix(f"{top}/") if member.islnk() else member.linkname
                elif member.name == ".":
                    continue  # as an Engine does, which leaves the directory itself as it is
                archive.extract(member, root)


def path_stat(path: Path) -> str:
    """Return the header that tells what stands at a path."""
    seen = path.lstat()
    mode = stat.S_IMODE(seen.st_mode) | _GO_KINDS.get(stat.S_IFMT(seen.st_mode), 0)
    link = str(path.readlink()) if path.is_symlink() else ""
    at = datetime.fromtimestamp(seen.st_mtime, UTC).isoformat()
    told = {"name": path.name, "size": seen.st_size, "mode": mode, "mtime": at, "linkTarget": link}
    return base64.b64encode(json.dumps(told).encode()).decode()


def remove(path: Path) -> None:
    """Remove a file or a whole directory."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
