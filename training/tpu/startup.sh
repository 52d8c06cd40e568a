#!/usr/bin/env bash
# Prepares one worker of a TPU VM; `relpose tpu prepare` runs it on all. Running it again mends or updates.
# RELPOSE_SOURCE: git address, or an archive (.tar.gz) on this worker; RELPOSE_COMMIT: what to check out;
# RELPOSE_TORCH: version of torch and torch_xla.
set -euo pipefail

root=$HOME/relpose
torch=${RELPOSE_TORCH:?}
source=${RELPOSE_SOURCE:?}
python=3.11
uv=0.13.8
gcsfs=2026.10.1 # fsspec's reader of gs://

say() { echo "$(hostname): $*"; }

say "fetching relpose_ros: $source ${RELPOSE_COMMIT:-}"
rm -rf "$root/source.part"
case $source in
    *.tar.gz)
        mkdir -p "$root/source.part"
        tar -xzf "$source" -C "$root/source.part" --strip-components=1
        ;;
    *)
        git clone --quiet "$source" "$root/source.part"
        [ -z "${RELPOSE_COMMIT:-}" ] || git -C "$root/source.part" checkout --quiet "$RELPOSE_COMMIT"
        ;;
esac
rm -rf "$root/source"
mv "$root/source.part" "$root/source"

# The runtimes for TPUs bring Python 3.10, which is too old; uv brings its own.
say "Python $python"
[ -x "$root/uv/bin/uv" ] || python3 -m pip install --quiet --target "$root/uv" "uv==$uv"
[ -x "$root/venv/bin/python" ] || "$root/uv/bin/uv" venv --quiet --python "$python" "$root/venv"

say "torch and torch_xla $torch with libtpu, relpose_ros"
exact=() # as in the Makefile (test-xla)
if [ -f "$root/source/requirements/xla.txt" ]; then
    grep -v '^torch==' "$root/source/requirements/constraints.txt" >"$root/constraints.txt"
    exact=(-r "$root/source/requirements/xla.txt" -c "$root/constraints.txt")
fi
"$root/uv/bin/uv" pip install --quiet --python "$root/venv/bin/python" "${exact[@]}" \
    "torch==$torch" "torch_xla[tpu]==$torch" "gcsfs==$gcsfs" "relpose_ros[learned,training] @ file://$root/source"
# Two commits may have one version number.
"$root/uv/bin/uv" pip install --quiet --python "$root/venv/bin/python" --no-deps --reinstall-package relpose_ros "$root/source"

# No TPU is opened here: on a pod that waits for all workers.
"$root/venv/bin/python" -c 'import libtpu, torch, torch_xla; print("torch", torch.__version__, "torch_xla", torch_xla.__version__)'
"$root/venv/bin/relpose" train --help >/dev/null
say "ready"
