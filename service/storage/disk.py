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
from service.storage.disk_files import write_file
from service.storage.disk_layout import Layout

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
        for folder in (layout.data_dir, layout.tmp, layout.datasets, layout.links, layout.analyses, layout.unsettled):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sweep(self, older_than_s: float) -> None:
        """Remove received files that nothing was done with for this long, 0 for all of them."""
        latest = time.time() - older_than_s
        for left in self._layout.tmp.iterdir():
            with suppress(FileNotFoundError):
                if max(path.stat().st_mtime for path in (left, *left.glob("*"))) > latest:
                    continue
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()

    def check(self) -> None:
        """Raise StoreUnavailable unless a file with some content can be written."""
        probe = self._layout.tmp / f"probe-{secrets.token_hex(8)}"
        try:
            write_file(probe, bytes(PROBE_BYTES))
        except OSError as error:
            raise StoreUnavailable("The array store cannot be written. Tell the operator.") from error
        finally:
            probe.unlink(missing_ok=True)
