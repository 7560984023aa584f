"""The password of the queue: read from a file, refused when anybody can guess it, never repeated in a message."""

import pytest
from redis import Redis

from service.settings import Settings
from service.storage.redis_password import PasswordRefused, read_password, with_password
from service.wiring import QueueNotConfigured, build, queue_url

GOOD = "m0ts-de-passe:/@?#% sûrs"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(GOOD + "\n", encoding="utf-8")
    return path


def test_the_line_break_at_the_end_is_no_part_of_the_password(secret):
    assert read_password(secret) == GOOD
    secret.write_bytes(GOOD.encode() + b"\r\n")
    assert read_password(secret) == GOOD


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"changeme", "placeholder"),
        (b"Change-Me_changeme!!", "placeholder"),
        (b"phasegate-secret-1234", "placeholder"),
        (b"x" * 40, "placeholder"),
        (b"<your-strong-password-here>", "placeholder"),
        (b"k3x9q2w8z7", "fewer than 16"),
        (b"k3x9q2w8z7\nk3x9q2w8z7", "more than one line"),
        (b"\xff\xfe\x00k3x9q2w8z7", "not text"),
    ],
)
def test_what_is_no_password_is_refused_without_being_repeated(tmp_path, content, reason):
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(PasswordRefused, match=reason) as refusal:
        read_password(path)
    assert str(path) in str(refusal.value)
    assert "make secrets" in str(refusal.value)
    assert not content.strip() or content.decode("latin-1").strip() not in str(refusal.value)


def test_a_file_that_is_missing_or_no_file_is_named(tmp_path):
    with pytest.raises(PasswordRefused, match="does not exist"):
        read_password(tmp_path / "none")
    with pytest.raises(PasswordRefused, match="cannot be read"):
        read_password(tmp_path)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://phasegate@redis:6379/0", ("phasegate", "redis", 6379, 0)),
        ("rediss://redis.example/3", (None, "redis.example", 6379, 3)),
        ("redis://ph%40se@[::1]:6380", ("ph@se", "::1", 6380, 0)),
    ],
)
def test_the_client_reads_user_and_password_as_they_were(url, expected):
    options = Redis.from_url(with_password(url, GOOD)).connection_pool.connection_kwargs
    assert options["password"] == GOOD
    found = (options.get("username"), options["host"], options.get("port", 6379), int(options.get("db", 0)))
    assert found == expected


def test_a_unix_socket_has_a_password_too():
    options = Redis.from_url(with_password("unix://phasegate@/run/redis.sock?db=2", GOOD)).connection_pool
    assert options.connection_kwargs["password"] == GOOD
    assert options.connection_kwargs["path"] == "/run/redis.sock"


def test_two_passwords_are_one_too_many():
    with pytest.raises(PasswordRefused, match="Take the password out of the URL") as refusal:
        with_password("redis://phasegate:hidden@redis", GOOD)
    assert "hidden" not in str(refusal.value)


def test_settings_name_the_file_and_the_wiring_reads_it(secret):
    settings = Settings(redis_url="redis://phasegate@redis:6379/0", redis_password_file=secret)
    options = Redis.from_url(queue_url(settings)).connection_pool.connection_kwargs
    assert (options["username"], options["password"]) == ("phasegate", GOOD)


def test_no_setting_and_no_service_shows_the_password(secret, tmp_path):
    settings = Settings(redis_url="redis://phasegate@redis", redis_password_file=secret, data_dir=tmp_path / "data")
    shown = repr(settings) + settings.model_dump_json() + repr(build(settings))
    assert "m0ts" not in shown


def test_a_password_that_cannot_be_used_keeps_a_process_from_starting(tmp_path):
    settings = Settings(redis_url="redis://redis", redis_password_file=tmp_path / "none")
    with pytest.raises(QueueNotConfigured, match="does not exist"):
        queue_url(settings)


def test_a_password_without_a_server_is_refused(secret):
    with pytest.raises(ValueError, match="PHASEGATE_REDIS_URL, which is not set"):
        Settings(redis_password_file=secret)


def test_without_a_password_the_address_stays_as_it_is():
    assert queue_url(Settings(redis_url="redis://redis:6379/0")) == "redis://redis:6379/0"
    with pytest.raises(QueueNotConfigured, match="PHASEGATE_REDIS_URL is not set"):
        queue_url(Settings())
