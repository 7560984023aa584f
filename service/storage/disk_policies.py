"""Versions of named policies on a local directory: a file each, which gets its name once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service.analyses.policy import StoredPolicy
from service.gating.references import is_name
from service.storage.disk_files import check_there, create_file, read_record, stored, sync_folder
from service.storage.disk_layout import Layout
from service.storage.records import STORED_POLICY

SUFFIX = ".json"


class DiskPolicies:
    """`service.analyses.ports.PolicyStore` on disk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def names(self) -> Sequence[str]:
        """Every name that has a version, sorted."""
        return sorted(name for name in self._listed(self._layout.policies) if is_name(name) and self.numbers(name))

    def numbers(self, name: str) -> Sequence[int]:
        """The versions of a name, the first one first."""
        if not is_name(name):
            return []
        stems = (file.removesuffix(SUFFIX) for file in self._listed(self._layout.policies / name) if SUFFIX in file)
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def count(self) -> int:
        """Versions of all names together."""
        return sum(len(self.numbers(name)) for name in self._listed(self._layout.policies))

    def find(self, name: str, number: int) -> StoredPolicy | None:
        """A version, or None."""
        return read_record(self._path(name, number), STORED_POLICY) if is_name(name) else None

    def add(self, policy: StoredPolicy) -> bool:
        """Keep a version; False if there is one with this number.  Raises StoreUnavailable."""
        path = self._path(policy.name, policy.number)
        with stored():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent.parent)
            return create_file(path, STORED_POLICY.dump_json(policy, by_alias=True), self._layout.tmp)

    def _path(self, name: str, number: int) -> Path:
        return self._layout.policies / name / f"{number:09d}{SUFFIX}"

    def _listed(self, folder: Path) -> list[str]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(folder)
        check_there(self._layout.policies)
        return []
