"""What the image is: small, not root, rebuilt in its last layer when the code changes."""

import json
import shutil

from .stack import IMAGE, ROOT, docker

MAX_BYTES = 500_000_000  # 13 MB of them for buckets, 36 MB for Parquet and Arrow


def layers(image):
    return json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))


def test_the_image_is_small_and_its_user_is_not_root(image):
    (found,) = json.loads(docker("image", "inspect", image))
    assert found["Size"] < MAX_BYTES
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "phasegate", "healthy", "api"]


def test_a_change_of_code_changes_the_last_layer_alone(image, tmp_path):
    for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("service", "phasegate"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "service/__init__.py").open("a") as module:
        module.write('\nCHANGED = "by a test"\n')
    changed = f"{IMAGE}-changed"
    docker("build", "--tag", changed, str(tmp_path))
    try:
        before, after = layers(image), layers(changed)
        assert after[:-1] == before[:-1]
        assert after[-1] != before[-1]
    finally:
        docker("image", "rm", changed)


def test_one_container_alone_is_the_whole_service(image):
    hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges=true", "--network", "none"]
    assert "Recommendation" in docker("run", "--rm", "--init", *hardened, "--tmpfs", "/tmp", image, "demo")
