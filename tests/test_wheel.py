"""What an installed wheel has of the repository."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.convert.made import make_ali_ccp

ROOT = Path(__file__).parents[1]
CONVERT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from components.cli import main; main()"


def test_a_wheel_converts_without_the_checkout(tmp_path: Path) -> None:
    copied = shutil.ignore_patterns("__pycache__")
    for folder in ("components", "infra/profiles"):
        shutil.copytree(ROOT / folder, tmp_path / "checkout" / folder, symlinks=True, ignore=copied)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path / "checkout")
    build = ["pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), "./checkout"]
    subprocess.run([sys.executable, "-m", *build], cwd=tmp_path, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    shutil.rmtree(tmp_path / "checkout")
    make_ali_ccp(tmp_path / "source", rows=40)
    command = ["convert", "ali-ccp", str(tmp_path / "source"), str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", CONVERT, str(tmp_path / "installed"), *command], cwd=tmp_path, check=True, capture_output=True
    )
    assert json.loads(done.stdout)["rows_in"] == 80
    assert (tmp_path / "out" / "profile.toml").read_bytes() == (ROOT / "infra" / "profiles" / "ali_ccp.toml").read_bytes()
