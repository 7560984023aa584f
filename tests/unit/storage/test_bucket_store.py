"""What holds on a bucket alone: who is let in, what dead processes leave, what is large, what is far away."""

import gc
import io
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from service.analyses import intake
from service.analyses.analysis import RECORD_VERSION, Estimation, Submission
from service.analyses.dataset import Dataset, StoredArray
from service.analyses.errors import (
    DatasetInUse,
    DatasetNotFound,
    LabelSetNotFound,
    StoreUnavailable,
)
from service.analyses.identity import Kind, new_id
from service.analyses.tenancy import DEFAULT_TENANT
from service.estimation.options import Options
from service.storage import bucket as buckets
from service.storage import bucket_records
from service.storage.bucket import Bucket
from service.storage.bucket_address import BucketRefused, Credentials, bucket_address
from service.storage.bucket_layout import BucketLayout
from service.storage.bucket_records import DatasetRecords
from service.storage.bucket_stores import BucketStores
from service.storage.records import LABEL_SET
from tests.bucket_server import KEY, READER
from tests.unit.storage.samples import (
    NOW,
    REPORT,
    a_dataset,
    a_label_set,
    an_upload,
    committed,
    kept,
    npy,
    received,
)


@pytest.fixture
def stores(bucket_place) -> BucketStores:
    return bucket_place.open()


@pytest.fixture
def store(stores):
    return stores.of(DEFAULT_TENANT)


def test_a_bucket_that_lets_us_in_is_admitted_and_left_as_it_was(stores, bucket_place):
    stores.admit()
    assert bucket_place.contents() == []


@pytest.mark.parametrize(
    ("credentials", "bucket", "said"),
    [
        (Credentials("AKPHASEGATETEST", "the-wrong-secret-of-somebody"), "phasegate", "SignatureDoesNotMatch"),
        (Credentials("AKNOBODYKNOWSTHIS", "the-wrong-secret-of-somebody"), "phasegate", "InvalidAccessKeyId"),
        (READER, "phasegate", "AccessDenied"),
        (KEY, "not-there", "There is no bucket not-there"),
    ],
)
def test_a_bucket_that_lets_us_not_in_says_why_and_no_secret(bucket_server, credentials, bucket, said):
    refused = Bucket(bucket_server.address("somewhere", credentials, bucket))
    with pytest.raises(BucketRefused, match=said) as caught:
        refused.admit("probe")
    told = f"{caught.value} {caught.value.__cause__} {caught.value.__context__} {refused.address}"
    assert credentials.secret_access_key not in told
    assert credentials.access_key_id not in f"{caught.value} {refused.address}"


def test_a_bucket_that_is_away_is_unavailable_and_no_more_than_that(bucket_place):
    away = Bucket(replace(bucket_place.address, endpoint="http://127.0.0.1:9"))
    for call in (
        lambda: away.admit("probe"),
        lambda: away.read("x"),
        lambda: away.write("x", b""),
        lambda: away.create("x", b""),
        lambda: away.replace("x", b"", "tag"),
        lambda: list(away.listed("x")),
        lambda: away.folders("x"),
        lambda: away.remove(["x"]),
        lambda: away.exists("x"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert re.search("127|http|secret", str(caught.value)) is None


def test_a_bucket_that_does_not_answer_is_not_asked_by_everybody(bucket_place, monkeypatch):
    monkeypatch.setattr(buckets, "REQUEST_TIMEOUT", timedelta(seconds=0.2))
    monkeypatch.setattr(buckets, "RETRIES", 0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bucket = Bucket(replace(bucket_place.address, endpoint=endpoint), absence_s=600)
        with pytest.raises(StoreUnavailable):
            bucket.read("x")
        silent.accept()[0].close()
        for call in (lambda: bucket.read("x"), lambda: bucket.write("x", b""), lambda: list(bucket.listed("x"))):
            with pytest.raises(StoreUnavailable):
                call()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_bucket_that_answers_no_is_there(bucket_server, bucket_place):
    bucket = Bucket(bucket_place.address, absence_s=600)
    assert bucket.read("nothing") is None
    refused = Bucket(bucket_server.address("x", READER), absence_s=600)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            refused.write("x", b"")
        assert refused.read("x") is None


def test_many_who_ask_for_much_share_a_few_threads(bucket_place):
    bucket = bucket_place.bucket
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: bucket.at_once(bucket.exists, map(str, range(40))), range(4)))
    assert answers == [[False] * 40] * 4
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("bucket")]) <= buckets.AT_ONCE


def test_credentials_that_are_refused_later_are_a_store_that_is_away(bucket_server):
    refused = Bucket(bucket_server.address("x", Credentials("AKPHASEGATETEST", "the-wrong-secret-of-somebody")))
    for call in (lambda: refused.read("x"), lambda: refused.write("x", b"")):
        with pytest.raises(StoreUnavailable):
            call()


ADDRESS = {"endpoint": None, "region": None, "credentials_file": None, "allow_http": False, "environment": {}}


def test_the_address_of_a_bucket_is_read():
    address = bucket_address("s3://data/a/b/", **ADDRESS)
    assert (address.bucket, address.prefix, address.endpoint, address.shown) == ("data", "a/b", None, "s3://data/a/b")
    assert bucket_address("s3://data", **ADDRESS).prefix is None


@pytest.mark.parametrize(
    ("url", "changed", "said"),
    [
        ("s3://", {}, "not the address of a bucket"),
        ("s3://key:secret@data/x", {}, "settings of their own"),
        ("s3://data/a/../b", {}, "dotted part"),
        ("s3://data", {"endpoint": "http://10.0.0.1:9000"}, "PHASEGATE_STORE_ALLOW_HTTP"),
        ("s3://data", {"environment": {"AWS_ENDPOINT_URL": "http://10.0.0.1"}}, "PHASEGATE_STORE_ALLOW_HTTP"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url, changed, said):
    with pytest.raises(BucketRefused, match=said) as caught:
        bucket_address(url, **{**ADDRESS, **changed})
    assert "secret@" not in str(caught.value)


def test_credentials_are_read_from_a_file_of_two_lines(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("AKEXAMPLE\nvery-secret\n")
    address = bucket_address("s3://data", **{**ADDRESS, "credentials_file": path})
    assert address.credentials == Credentials("AKEXAMPLE", "very-secret")
    assert "secret" not in repr(address).replace("secret_access_key", "")
    for content in ("", "one\n", "one two three"):
        path.write_text(content)
        with pytest.raises(BucketRefused, match="two lines"):
            bucket_address("s3://data", **{**ADDRESS, "credentials_file": path})
    with pytest.raises(BucketRefused, match="No such file"):
        bucket_address("s3://data", **{**ADDRESS, "credentials_file": tmp_path / "none"})


def test_a_child_of_a_process_that_uses_the_bucket_fails_at_once_and_does_not_hang(bucket_place):
    bucket = bucket_place.bucket
    bucket.write("x", b"1")
    child = os.fork()
    if child == 0:
        try:
            bucket_place.bucket.read("x")
        except RuntimeError:
            os._exit(17)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_large_files_go_and_come_in_pieces(store, bucket_place, monkeypatch):
    monkeypatch.setattr(buckets, "PIECE_BYTES", 5 * 1024 * 1024)
    values = np.arange(2_000_000, dtype=np.float64).reshape(20, 100_000)  # 16 MB: four pieces
    with store.datasets.stage() as staged:
        received(staged, x=npy(values))
        dataset = replace(
            a_dataset(staged), x=StoredArray(**vars(staged.files["x"]), shape=values.shape, dtype="float64")
        )
        staged.keep(dataset)
    features = bucket_place.open("elsewhere").of(DEFAULT_TENANT).datasets.features_of(dataset)
    np.testing.assert_array_equal(features.x, values)


def test_arrays_keep_their_files_in_the_cache_and_no_longer(bucket_place):
    place = replace(bucket_place, cache_bytes=2000)
    store = place.open().of(DEFAULT_TENANT)
    (first, _), (second, _) = kept(store), kept(store, x=npy(np.ones((20, 3))), y=npy(np.ones((20, 4))))
    view = store.datasets.features_of(first).x[1:, :2].T
    gc.collect()
    held = {path.name for path in (place.folder / "host" / "cache").iterdir()}
    store.datasets.features_of(second)
    assert first.x.sha256 in {path.name for path in (place.folder / "host" / "cache").iterdir()} & held
    np.testing.assert_array_equal(view, np.arange(60.0).reshape(20, 3)[1:, :2].T)


def test_a_cached_copy_that_has_changed_is_fetched_anew_and_no_fault_of_the_input(store, bucket_place):
    dataset, label_set = kept(store)
    store.datasets.inputs_of(dataset, label_set)
    for file in (dataset.y, label_set.labels):
        copy = bucket_place.folder / "host" / "cache" / file.sha256
        copy.write_bytes(bytes(file.size_bytes))
    features, labels = store.datasets.inputs_of(dataset, label_set)
    np.testing.assert_array_equal(features.y, np.arange(80.0).reshape(20, 4))
    assert labels.columns["kind"].tolist() == ["a", "b"] * 10


def test_a_last_part_is_checked_without_fetching_the_others(store, bucket_place):
    opened = intake.open_dataset(store, (), None)
    for part, values in (("x", np.zeros((40, 3))), ("y", np.zeros((40, 4)))):
        with store.datasets.stage() as staged:
            staged.receive(part, npy(values))
            dataset = intake.put_part(store, opened.id, part, staged, timedelta(days=7))
    assert dataset.n_pairs == 40
    assert {path.name for path in (bucket_place.folder / "host" / "cache").iterdir()} <= {"lock"}


def submission_of(dataset, label_set) -> Submission:
    return Submission(RECORD_VERSION, new_id(Kind.ANALYSIS), NOW, Estimation(dataset, label_set, Options()))


def test_who_adds_to_what_is_gone_withdraws_it(store, bucket_place):
    dataset, label_set = kept(store)
    with store.datasets.hold(dataset.id, alone=False):
        store.datasets.remove(dataset.id)
        with pytest.raises(DatasetNotFound):
            store.analyses.add(submission_of(dataset, label_set))
    assert bucket_place.contents() == []
    dataset, label_set = kept(store)
    store.datasets.remove_label_set(label_set)
    with pytest.raises(LabelSetNotFound):
        store.analyses.add(submission_of(dataset, label_set))
    with store.datasets.stage() as staged:
        staged.receive("labels", an_upload()["labels"])
        store.datasets.remove(dataset.id)
        with pytest.raises(DatasetNotFound):
            staged.add_label_set(a_label_set(staged, dataset.id))
    assert bucket_place.contents() == []


def test_who_has_looked_for_users_before_one_came_does_not_remove(store):
    dataset, label_set = kept(store)
    with store.datasets.hold(dataset.id, alone=True):
        assert store.analyses.user_of(dataset.id) is None
        store.analyses.add(submission_of(dataset, label_set))
        with pytest.raises(DatasetInUse):
            store.datasets.remove(dataset.id)
        with pytest.raises(DatasetInUse):
            store.datasets.remove_label_set(label_set)
    assert store.datasets.find(dataset.id) == dataset
    assert store.datasets.find_label_set(label_set.id) == label_set


def test_a_label_set_is_removed_though_somebody_comes_in_between(store, bucket_place, monkeypatch):
    dataset, label_set = kept(store)
    with store.datasets.stage() as staged:
        staged.receive("labels", npy(np.arange(20.0)))
        other = a_label_set(staged, dataset.id)
        staged.add_label_set(other)
    remove = Bucket.remove

    def used_meanwhile(bucket, keys):
        remove(bucket, keys)
        if BucketLayout().label_set_record(label_set.id) in keys:
            store.analyses.add(submission_of(dataset, other))

    records = DatasetRecords(bucket_place.bucket, BucketLayout())
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "remove", used_meanwhile)
        intake.delete_label_set(store, label_set.id)
    assert store.datasets.find_label_set(label_set.id) is None
    assert records.find(dataset.id).entry.removed_label_sets == (label_set.id,)
    store.datasets.remove_label_set(other)
    assert records.find(dataset.id).entry.removed_label_sets == ()


def left_claimed(bucket_place, dataset_id: str) -> None:
    """As whoever claimed a dataset and died then leaves it."""
    DatasetRecords(bucket_place.bucket, BucketLayout())._claim(dataset_id)


def test_a_claim_whose_holder_died_keeps_nobody(store, bucket_place, monkeypatch):
    dataset, label_set = kept(store)
    left_claimed(bucket_place, dataset.id)
    store.analyses.add(submission := submission_of(dataset, label_set))  # at once
    assert store.analyses.settle(submission.id, *REPORT)
    left_claimed(bucket_place, dataset.id)
    monkeypatch.setattr(bucket_records, "CLAIM_PATIENCE_S", 0.3)
    intake.delete_dataset(store, dataset.id)
    assert store.datasets.find(dataset.id) is None


def test_who_cannot_wait_for_a_dead_claim_to_be_old_finds_it_old_later(bucket_place, monkeypatch):
    monkeypatch.setattr(bucket_records, "CLAIM_PATIENCE_S", 0.5)
    stores = bucket_place.open(patience_s=0.0)
    dataset, _ = kept(stores.of(DEFAULT_TENANT))
    left_claimed(bucket_place, dataset.id)
    refused = 0
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            intake.delete_dataset(stores.of(DEFAULT_TENANT), dataset.id)
            break
        except StoreUnavailable:
            refused += 1
    assert refused > 0
    assert stores.of(DEFAULT_TENANT).datasets.find(dataset.id) is None


def test_a_part_of_who_came_second_does_not_take_the_place_of_the_first(store, bucket_place):
    opened = Dataset(RECORD_VERSION, new_id(Kind.DATASET), NOW, NOW + timedelta(days=1), ("x", "y"))
    with store.datasets.stage() as staged:
        staged.keep(opened)
    other = bucket_place.open("other").of(DEFAULT_TENANT)

    def put(store, n: int) -> Dataset:
        with store.datasets.stage() as staged:
            file = staged.receive("x", npy(np.zeros((n, 3))))
            staged.bring(opened.id)
            dataset = replace(opened, x=StoredArray(**vars(file), shape=(n, 3), dtype="float64"))
            staged.add_parts(dataset)
        return dataset

    with store.datasets.hold(opened.id, alone=True):
        theirs = put(other, 30)  # it does not hold the dataset, as if it had been taken for dead
        with pytest.raises(DatasetInUse):
            put(store, 40)
    assert store.datasets.find(opened.id) == theirs
    assert len([name for name in bucket_place.contents() if name.endswith(".npy")]) == 1


def test_a_sweep_removes_what_belongs_to_nothing_and_nothing_else(store, bucket_place):
    submission = committed(store)
    settled = committed(store)
    store.analyses.settle(settled.id, *REPORT)
    opened = intake.open_dataset(store, (), None)
    with store.datasets.stage() as staged:
        staged.receive("x", npy(np.zeros((30, 3))))
        intake.put_part(store, opened.id, "x", staged, timedelta(days=1))
    before = bucket_place.contents()
    bucket, layout = bucket_place.bucket, BucketLayout()
    subject = submission.subject
    gone_dataset, gone_analysis, gone_label_set = (
        new_id(kind) for kind in (Kind.DATASET, Kind.ANALYSIS, Kind.LABEL_SET)
    )
    for key in (
        f"{layout.dataset(gone_dataset)}/x-1-2.npy",
        f"{layout.dataset(gone_dataset)}/label-sets/{gone_label_set}/labels-1-2.csv",
        f"{layout.dataset(subject.dataset.id)}/x-1-2.npy",
        f"{layout.dataset(subject.dataset.id)}/label-sets/{new_id(Kind.LABEL_SET)}/labels-1-2.csv",
        f"{layout.dataset(opened.id)}/x-1-2.npy",
        f"{layout.analysis(gone_analysis)}/report-1.json",
        f"unsettled/{gone_analysis}.default",
        layout.report_of("a" * 64, gone_analysis),
    ):
        bucket.write(key, b"{}")
    orphan = LABEL_SET.dump_json(replace(subject.label_set, id=gone_label_set, dataset_id=gone_dataset))
    bucket.write(layout.label_set_record(gone_label_set), orphan)
    removed, _ = kept(store)
    bucket.write(layout.dataset_record(removed.id), bucket_records.ENTRY.dump_json(bucket_records.REMOVED))
    with_orphans = bucket_place.contents()
    bucket_place.open().sweep()
    assert bucket_place.contents() == with_orphans, "they may be about to be named"
    for _ in range(2):  # the record of a label set goes when its files have gone
        bucket_place.open(abandoned=timedelta(seconds=-2)).sweep()
    assert bucket_place.contents() == before
    assert store.datasets.find(removed.id) is None


def test_a_record_that_cannot_be_read_is_never_swept(store, bucket_place):
    dataset, _ = kept(store)
    bucket_place.write_record("dataset", dataset.id, b'{"of": "a later version"}')
    before = bucket_place.contents()
    bucket_place.open(abandoned=timedelta(seconds=-2)).sweep()
    assert bucket_place.contents() == before


def test_what_a_copy_lacks_is_mended(stores, store, bucket_place):
    submission, settled = committed(store), committed(store)
    store.analyses.settle(settled.id, *REPORT)
    bucket_place.bucket.remove([BucketLayout().mark(submission)])
    assert list(stores.unsettled()) == []
    stores.mend()
    assert list(stores.unsettled()) == [submission]
    assert store.analyses.user_of(submission.subject.dataset.id) == submission.id


def test_a_mark_that_was_left_behind_is_no_unsettled_analysis(stores, store, bucket_place):
    submission = committed(store)
    store.analyses.settle(submission.id, *REPORT)
    before = bucket_place.contents()
    bucket_place.bucket.write(BucketLayout().mark(submission), b"")  # as if the worker had died in between
    assert (list(stores.unsettled()), bucket_place.contents()) == ([], before)


def test_pages_of_a_list_are_read_no_further_than_wanted(store, bucket_place, monkeypatch):
    submissions = [committed(store) for _ in range(5)]
    ids = sorted((s.id for s in submissions), reverse=True)
    seen = []
    listed = Bucket.listed

    def counted(bucket, folder, after=None):
        for item in listed(bucket, folder, after):
            seen.append(item.key)
            yield item

    monkeypatch.setattr(Bucket, "listed", counted)
    assert store.analyses.ids(at_most=2) == ids[:2]
    assert len(seen) <= 2
    assert store.analyses.ids(before=ids[1], at_most=2) == ids[2:4]
    assert store.analyses.ids(before=ids[3][:15]) == [an_id for an_id in ids if an_id < ids[3][:15]]


def test_names_from_outside_never_become_keys(store):
    for name in ("../x", "a/b", "", "%2e%2e"):
        with pytest.raises(DatasetNotFound):
            intake.find_dataset(store, name)


def test_a_csv_that_was_kept_is_read_from_the_cache(store, bucket_place):
    dataset, label_set = kept(store, groups=io.BytesIO(b"subject\n" + b"s1\ns2\n" * 10))
    for _ in range(2):
        assert store.datasets.groups_of(dataset).tolist() == ["s1", "s2"] * 10
        assert list(store.datasets.labels_of(label_set).columns) == ["kind"]
    cached = {path.name for path in (bucket_place.folder / "host" / "cache").iterdir()}
    assert cached == {"lock", dataset.groups.sha256, label_set.labels.sha256}
