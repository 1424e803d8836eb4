#!/bin/sh
# Makes .venv from requirements.lock: exact versions, hashes checked, nothing resolved.
# PYTHON (default python3.11) makes the environment. torch: a wheel in PIP_FIND_LINKS or UV_FIND_LINKS (or pip's own configuration) wins; else
# TORCH_BACKEND picks the build (default cpu; on a GPU host `auto` or e.g. cu130).
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-python3.11}"
uv_version="0.13.9"

if [ ! -x .venv/bin/python ]; then
  if command -v "$python" >/dev/null 2>&1; then
    "$python" -m venv .venv
  elif command -v uv >/dev/null 2>&1; then
    uv venv --seed --python 3.11 .venv
  else
    echo "setup: needs Python 3.11 (as '$python', or name it: make setup PYTHON=...) or uv; found neither" >&2
    exit 2
  fi
fi
.venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "setup: .venv is not Python 3.11; remove it and name one: make setup PYTHON=/path/to/python3.11" >&2
  exit 2
}
links="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}}"
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"

install() { .venv/bin/uv pip install --system-certs --quiet --python .venv/bin/python ${links:+--find-links "$links"} "$@"; }
torch="$(grep '^torch==' requirements.lock)"
grep -v '^torch==' requirements.lock >.venv/rest.lock
install --no-deps -r .venv/rest.lock
if [ -n "$links" ]; then
  install --no-deps "$torch"
elif [ "${TORCH_BACKEND:-cpu}" = cpu ]; then
  install --no-deps --torch-backend cpu "$torch"
else
  install --torch-backend "$TORCH_BACKEND" "$torch"
fi
install --no-deps --no-build-isolation -e .
cp requirements.lock .venv/installed.lock
