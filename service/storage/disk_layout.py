"""Where everything is in the array store on a local directory.

{data_dir}/tmp/                                 received files, until they are kept; what is being removed
{data_dir}/unsettled/{id}                       a mark for each analysis without an outcome: its tenant's name
{data_dir}/owed/{due}.{delivery}.{tenant}.{webhook}  a mark for each delivery that is pending, see owed
{data_dir}/keys/{id}.json                       API keys, see disk_keys
{data_dir}/tenants/{tenant}/                    the root of a tenant; that of the default one is {data_dir} itself

{root}/datasets/{id}/dataset.json               the record, which names the files
                     x-{digest}.npy  y-*.npy    and groups-*, covariates-* (.npy|.csv), if they were sent
                     lock                       held by who uses, changes or removes the dataset
                     label-sets/{id}/label-set.json  labels-*.npy|csv  rows-*
{root}/label-sets/{id}                          a link to the label set's folder
{root}/analyses/{id}/submission.json
                     report.json | failure.json      the outcome, written once; failure.json says cancelled too
                     outcome.json                    when it ran, beside report.json
                     lock                            held by who settles or removes it
{root}/fingerprints/{fingerprint}               the id of the latest analysis with it that has a report
                    .{draft}                    one that has not its name yet
{root}/policies/{name}/{number}.json            a version of a named policy, created once
{root}/decisions/{id}/decision.json             a decision, created once
{root}/questions/{analysis}.{digest}            the id of the decision on a question, created before that
{root}/webhooks/{id}/webhook.json               a webhook with its secrets, readable by the owner alone
                     deliveries/{id}.json       what it is told, and how that went
                     lock                       held by who changes the webhook

{digest} are the first 16 hexadecimal digits of the SHA-256.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.analyses.dataset import LabelSet
from service.analyses.identity import Kind, is_id
from service.analyses.tenancy import DEFAULT_TENANT, is_tenant
from service.storage.disk_files import check_there, sync_folder

LABEL_SETS = "label-sets"


@dataclass(frozen=True)
class Layout:
    """The folders of one tenant under a data directory."""

    data_dir: Path
    tenant: str = DEFAULT_TENANT

    def __post_init__(self) -> None:
        if not is_tenant(self.tenant):
            raise ValueError(f"not a tenant: {self.tenant!r}")

    @property
    def tenants(self) -> Path:
        """A folder for each tenant but the default one."""
        return self.data_dir / "tenants"

    @property
    def root(self) -> Path:
        """What is the tenant's."""
        return self.data_dir if self.tenant == DEFAULT_TENANT else self.tenants / self.tenant

    @property
    def tmp(self) -> Path:
        """What is being received or removed."""
        return self.data_dir / "tmp"

    @property
    def datasets(self) -> Path:
        """A folder for each dataset."""
        return self.root / "datasets"

    @property
    def links(self) -> Path:
        """A link for each label set."""
        return self.root / LABEL_SETS

    @property
    def analyses(self) -> Path:
        """A folder for each analysis."""
        return self.root / "analyses"

    @property
    def fingerprints(self) -> Path:
        """A file for each fingerprint under which a report can be found."""
        return self.root / "fingerprints"

    @property
    def policies(self) -> Path:
        """A folder for each named policy."""
        return self.root / "policies"

    @property
    def decisions(self) -> Path:
        """A folder for each decision."""
        return self.root / "decisions"

    @property
    def questions(self) -> Path:
        """A file for each question that has been asked, which names the decision on it."""
        return self.root / "questions"

    @property
    def webhooks(self) -> Path:
        """A folder for each webhook."""
        return self.root / "webhooks"

    @property
    def owed(self) -> Path:
        """A mark for each delivery that is pending, everybody's."""
        return self.data_dir / "owed"

    @property
    def unsettled(self) -> Path:
        """A mark for each analysis without an outcome, everybody's, so that nobody has to look through all of them."""
        return self.data_dir / "unsettled"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What has to be there before the tenant's first dataset, parents first, and what came with a later release
        last.
        """
        before = (self.root, self.datasets, self.links, self.fingerprints, self.analyses)
        return (*before, self.policies, self.decisions, self.questions, self.webhooks)

    def label_sets_of(self, dataset_id: str) -> Path:
        """A folder for each label set of a dataset."""
        return self.datasets / dataset_id / LABEL_SETS

    def label_set(self, label_set: LabelSet) -> Path:
        """The folder of a label set."""
        return self.label_sets_of(label_set.dataset_id) / label_set.id

    def link(self, label_set: LabelSet) -> None:
        """Make a label set known by its id; before it is there the link leads nowhere, which is as good as none.

        An earlier attempt of the same call, which has died since, may have left the same link.
        """
        target = Path("..") / self.label_set(label_set).relative_to(self.root)
        with suppress(FileExistsError):
            os.symlink(target, self.links / label_set.id)
        sync_folder(self.links)

    def unlink(self, label_set: LabelSet) -> None:
        """Take away what `link` has made, if it leads nowhere: the label set could not be kept."""
        link = self.links / label_set.id
        if not link.exists():
            link.unlink(missing_ok=True)

    def remove(self, folder: Path) -> None:
        """Remove a folder so that nobody ever sees half of it."""
        grave = self.tmp / f"removed-{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            os.rename(folder, grave)
            sync_folder(folder.parent)
        shutil.rmtree(grave, ignore_errors=True)


def ids_in(folder: Path, kind: Kind, before: str | None) -> list[str]:
    """Names in a folder that are ids of this kind, newest first: they begin with the time.

    Raises StoreUnavailable without the folder.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        check_there(folder)
        return []  # it came between the two looks
    return sorted((name for name in names if is_id(name, kind) and (before is None or name < before)), reverse=True)
