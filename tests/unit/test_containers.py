"""What the files for containers promise, as far as it shows without an engine."""

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service import __version__
from service.access.callers import demanded
from service.api.metrics import new_metrics
from service.settings import Settings
from service.storage.counters import parse_counts
from service.storage.measures import Measures
from service.storage.redis_password import read_password
from service.wiring import open_ring

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "docker/monitoring"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/phasegate.json").read_text(encoding="utf-8"))
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(scope="module")
def exposed():
    """Every sample that GET /metrics has, once something has happened."""
    counts = parse_counts({b"stages:spectra:count": b"1", b"stages:spectra:sum": b"0.5"})
    metrics = new_metrics(lambda: Measures(waiting=1, running=1, workers_alive=1, oldest_made_at_s=0.0, counts=counts))
    metrics.requests.labels("GET", "/healthz", "200").inc()
    metrics.durations.labels("GET", "/healthz").observe(0.1)
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return [sample for family in families for sample in family.samples]


def variables(text):
    """Names and defaults of the variables in a part of the compose file."""
    return dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))


@each_service
def test_a_container_has_no_right_that_it_does_not_need(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges=true"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert int(service["user"].split(":")[0]) > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "ulimits"} & set(service)


@each_service
def test_a_container_has_limits_a_health_check_and_time_to_stop(name):
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["healthcheck"]["test"][0] == "CMD"
    grace = service["stop_grace_period"]
    grace_s = int(variables(grace).get("PHASEGATE_STOP_GRACE", grace).removesuffix("s"))
    assert grace_s >= max(15, Settings().drain_s + 4)
    assert service["logging"]["options"]["max-size"]


def test_only_the_api_is_published_and_only_to_this_host():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:${PHASEGATE_PORT:-8000}:8000"]}
    override = yaml.safe_load((ROOT / "docker/grafana-port.yml").read_text(encoding="utf-8"))["services"]
    assert [port.startswith("127.0.0.1:") for port in override["grafana"]["ports"]] == [True]


def test_redis_and_workers_are_on_a_network_without_a_way_out():
    for name in ("redis", "worker"):
        assert SERVICES[name]["networks"] == ["queue"]
    assert COMPOSE["networks"]["queue"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if "queue" in service["networks"]} == {"redis", "worker", "api"}


def test_nothing_starts_before_what_it_needs_is_healthy():
    healthy = {"condition": "service_healthy"}
    assert SERVICES["api"]["depends_on"] == SERVICES["worker"]["depends_on"] == {"redis": healthy}
    assert SERVICES["prometheus"]["depends_on"] == {"api": healthy}
    assert SERVICES["grafana"]["depends_on"] == {"prometheus": healthy}


def test_monitoring_runs_only_when_it_is_asked_for():
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"prometheus", "grafana"}


def test_passwords_are_in_secret_files_that_git_does_not_see():
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert files == {name: f"docker/secrets/{name}" for name in ("redis_password", "grafana_password", "metrics_key")}
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name in ("api", "worker"):
        assert SERVICES[name]["environment"]["PHASEGATE_REDIS_PASSWORD_FILE"] == "/run/secrets/redis_password"
        assert SERVICES[name]["environment"]["PHASEGATE_REDIS_URL"] == "redis://phasegate@redis:6379/0"


WORKER_MEMORY = SERVICES["worker"]["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_settings_exist_and_their_defaults_are_those_of_the_service(name):
    environment = SERVICES[name]["environment"]
    settings = Settings()
    for variable, value in environment.items():
        if variable.startswith("PHASEGATE_"):
            field = variable.removeprefix("PHASEGATE_").lower()
            assert field in Settings.model_fields
            default = variables(value).get(variable)
            if field == "analysis_memory_limit_bytes":  # which the service does not know by itself in containers
                assert default == str(3 * int(variables(WORKER_MEMORY)["PHASEGATE_WORKER_MEMORY"][:-1]) * 2**30 // 4)
            else:
                assert default in (None, str(getattr(settings, field)))
    assert len(environment) >= 5


def test_every_bound_can_be_set_from_outside():
    names = {variable.removeprefix("PHASEGATE_").lower() for variable in SERVICES["api"]["environment"]}
    assert {field for field in Settings.model_fields if field.startswith(("max_", "rate_"))} <= names


def test_images_are_pinned_and_ours_has_the_version_of_the_code():
    images = {name: next(iter(variables(service["image"]).values())) for name, service in SERVICES.items()}
    assert images["api"] == images["worker"] == f"phasegate:{__version__}"
    assert all(re.search(r":v?\d", image) for image in images.values())


def test_every_mounted_file_exists():
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert len(files) >= 4
    assert all((ROOT / file).exists() for file in files)
    assert {mount for mount in mounts if not mount.startswith("./")} == set(COMPOSE["volumes"])


def test_redis_keeps_what_it_has_accepted():
    lines = (ROOT / "docker/redis/redis.conf").read_text(encoding="utf-8").splitlines()
    promised = {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", 'save ""', "protected-mode yes"}
    assert promised <= set(lines)


def test_the_image_needs_no_frontend_and_only_locked_requirements():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    assert "ARG PYTHON_IMAGE=python:3.12-slim\n" in text
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}", "requirements", "${PYTHON_IMAGE}"]
    assert "--require-hashes" in text
    assert text.count("--network=none") == 2  # what is built and installed after the requirements fetches nothing


def make_secrets(folder):
    done = subprocess.run(["sh", folder / "make-secrets.sh"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_nobody_gets_in_without_a_key_and_prometheus_has_one_of_its_own():
    environment = SERVICES["api"]["environment"]
    assert environment["PHASEGATE_REQUIRE_KEYS"] == "true"
    assert "PHASEGATE_REQUIRE_KEYS=true" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "let_anyone" not in (ROOT / "docker-compose.yml").read_text(encoding="utf-8").lower()
    shown = environment["PHASEGATE_METRICS_KEY_FILE"]
    assert shown == "/run/secrets/metrics_key"
    assert {name for name, service in SERVICES.items() if "metrics_key" in service.get("secrets", ())} == {
        "api",
        "prometheus",
    }
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    assert configuration["scrape_configs"][0]["authorization"] == {"type": "Bearer", "credentials_file": shown}


def test_the_key_for_the_metrics_lets_its_bearer_read_them_and_nothing_else(tmp_path):
    (tmp_path / "make-secrets.sh").write_bytes((ROOT / "docker/make-secrets.sh").read_bytes())
    make_secrets(tmp_path)
    file = tmp_path / "secrets/metrics_key"
    caller = open_ring(Settings(data_dir=tmp_path / "data", metrics_key_file=file)).authenticate(file.read_text())
    assert caller.scopes == demanded("GET", "/metrics")
    for method, path in (("GET", "/v1/analyses"), ("POST", "/v1/analyses"), ("POST", "/v1/model/separation")):
        assert not caller.scopes & demanded(method, path)


def test_secrets_are_random_made_once_and_in_a_folder_of_their_owner(tmp_path):
    (tmp_path / "make-secrets.sh").write_bytes((ROOT / "docker/make-secrets.sh").read_bytes())
    assert [line.split()[0] for line in make_secrets(tmp_path)] == ["Made", "Made", "Made"]
    secrets = tmp_path / "secrets"
    redis, grafana = read_password(secrets / "redis_password"), read_password(secrets / "grafana_password")
    assert re.fullmatch("[0-9a-f]{64}", redis)
    assert redis != grafana
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((secrets / "redis_password").stat().st_mode) == 0o444

    (secrets / "grafana_password").unlink()
    assert [line.split()[0] for line in make_secrets(tmp_path)] == [
        "docker/secrets/redis_password",
        "Made",
        "docker/secrets/metrics_key",
    ]
    assert read_password(secrets / "redis_password") == redis
    assert sorted(path.name for path in secrets.iterdir()) == ["grafana_password", "metrics_key", "redis_password"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_alerts_and_panels_ask_for_metrics_and_labels_that_exist(expression, exposed):
    asked = set(re.findall(r"\b(?:phasegate|process)_\w+", expression))
    assert asked or expression.startswith("absent(up")
    assert asked <= {sample.name for sample in exposed}
    matched = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", expression))
    grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", labels)}
    known = {label for sample in exposed if sample.name in asked for label in sample.labels}
    assert matched | grouped <= known | {"job", "instance"}


def test_the_page_on_containers_names_every_variable_with_its_default_and_every_limit():
    page = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for variable, default in variables(text).items():
        (row,) = re.findall(rf"^\| .*`{variable}`.*$", page, re.MULTILINE)
        unsaid = "as in the README" in row or "of the profile" in row
        assert unsaid or f"`{default}`" in row, variable
    for name, service in SERVICES.items():
        limits = service["deploy"]["resources"]["limits"]
        memory = re.sub(r"^\$.*:-(.*)\}$", r"\1", limits["memory"])
        said = memory.replace("g", " GB").replace("m", " MB")
        cores = re.sub(r"^\$.*:-(.*)\}$", r"\1", str(limits["cpus"])).removesuffix(".0")
        assert f"| `{name}` | {cores} | {said} | {limits['pids']} |" in page


def test_every_alert_says_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS) >= 5
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert all(len(rule["annotations"][part]) > 10 for part in ("summary", "description"))


def test_the_alert_for_lost_analyses_says_what_to_do_about_every_code():
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "PhasegateAnalysesLost")
    named = re.search(r'code=~"([^"]*)"', rule["expr"])[1].split("|")
    assert all(code in rule["annotations"]["description"] for code in named)


def test_the_dashboard_reads_the_data_source_that_is_provisioned():
    text = (MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"]) > 10


def test_prometheus_finds_the_api_and_the_alerts():
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    scraped = configuration["scrape_configs"][0]
    assert scraped["job_name"] == "phasegate"
    assert (scraped["dns_sd_configs"][0]["names"], scraped["dns_sd_configs"][0]["port"]) == (["api"], 8000)
    targets = [mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]]
    assert set(configuration["rule_files"]) <= set(targets)
