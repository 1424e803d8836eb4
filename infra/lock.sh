#!/bin/sh
# Resolves pyproject.toml again and rewrites requirements.lock. torch carries no hash: its build differs between CPU and GPU hosts.
set -eu
cd "$(dirname "$0")/.."
links="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
.venv/bin/uv pip compile --system-certs pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
  ${links:+--find-links "$links"} --no-emit-package torch --output-file requirements.lock
grep -vE '^# The following packages|^# (torch|nvidia)' requirements.lock >.venv/new.lock
{ echo "# Exact versions of everything the project installs (make lock). torch has no hash: its build is the host's."
  echo "torch==2.13.0"
  cat .venv/new.lock; } >requirements.lock
