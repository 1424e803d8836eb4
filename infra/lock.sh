#!/bin/sh
# Resolves pyproject.toml again and rewrites requirements.lock; likewise tests/benchmarks/peers.in. torch carries no hash: its build
# differs between CPU and GPU hosts.
set -eu
cd "$(dirname "$0")/.."
links="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"

lock() { # what the lock is of, the lock, what is resolved ...
  title="$1" target="$2"
  shift 2
  grep -v '^torch==' "$target" >.venv/new.lock # pinned, PyPI's build would be preferred to the host's, and bring CUDA's packages
  .venv/bin/uv pip compile --system-certs "$@" --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
    ${links:+--find-links "$links"} --no-emit-package torch --output-file .venv/new.lock
  { echo "# Exact versions of everything $title (make lock). torch has no hash: its build is the host's."
    echo "torch==2.13.0"
    grep -vE '^# (Exact versions|The following packages|torch|nvidia)' .venv/new.lock; } >"$target"
}

lock "the project installs" requirements.lock pyproject.toml --extra onnx --extra distributed --extra dev
lock "the quality benchmark's peers need" tests/benchmarks/peers.lock tests/benchmarks/peers.in
