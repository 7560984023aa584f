"""The array store on a local directory: the truth about datasets, label sets and analyses.

Files are fsynced before the rename that makes them known, so that an answer outlives a crash.
"""

from __future__ import annotations

import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from service.analyses.errors import StoreUnavailable
from service.storage.disk_analyses import DiskAnalyses
from service.storage.disk_datasets import DiskDatasets
from service.storage.disk_files import locked_if_unused, write_file
from service.storage.disk_layout import Layout
from service.storage.disk_staging import STAGED

ABANDONED_S = 3600.0  # nothing takes this long from its mark or its link to the thing itself
PROBE_BYTES = 64 * 1024  # a file system that is full still makes empty files


class DiskStore:
    """The store under one directory; `max_label_bytes` bounds every part that is read whole: all but x and y."""

    def __init__(self, data_dir: Path, max_label_bytes: int) -> None:
        self._layout = Layout(data_dir)
        self.datasets = DiskDatasets(self._layout, max_label_bytes)
        self.analyses = DiskAnalyses(self._layout)

    @property
    def tmp(self) -> Path:
        """Where files are while they are being received."""
        return self._layout.tmp.resolve()

    def prepare(self) -> None:
        """Create the store's folders, readable by their owner alone."""
        layout = self._layout
        folders = (layout.tmp, layout.datasets, layout.links, layout.analyses, layout.fingerprints, layout.unsettled)
        for folder in (layout.data_dir, *folders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what processes that have died left behind: received files, marks and links that lead nowhere.

        Files are somebody's while their folder is locked; everything else is left alone for an hour.
        """
        layout, latest = self._layout, time.time() - ABANDONED_S
        for left in layout.tmp.iterdir():
            with suppress(FileNotFoundError):
                if left.name.startswith(STAGED):
                    with locked_if_unused(left) as unused:
                        if unused:
                            shutil.rmtree(left, ignore_errors=True)
                elif left.stat().st_mtime < latest:
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        for mark in layout.unsettled.iterdir():
            with suppress(FileNotFoundError):
                if not (layout.analyses / mark.name).exists() and mark.stat().st_mtime < latest:
                    mark.unlink()
        self.analyses.sweep_fingerprints()
        for link in layout.links.iterdir():
            with suppress(FileNotFoundError):
                if not link.exists() and link.lstat().st_mtime < latest:
                    link.unlink()

    def check(self) -> None:
        """Raise StoreUnavailable unless a file with some content can be written."""
        probe = self._layout.tmp / f"probe-{secrets.token_hex(8)}"
        try:
            write_file(probe, bytes(PROBE_BYTES))
        except OSError as error:
            raise StoreUnavailable("The array store cannot be written. Tell the operator.") from error
        finally:
            probe.unlink(missing_ok=True)
