#!/usr/bin/env bash
# The GPU figures of docs/performance.md, in parts that each take under nine minutes on sixteen cores and one H200.
#
#     benchmarks/gpu.sh                 # every part that is not done
#     benchmarks/gpu.sh raster          # one: compile, tests, raster, recon or render; done again
#
# Each part writes one JSON with machine, versions and date to $OUT (docs/benchmarks/gpu).  A part that failed or was interrupted leaves
# none, so that the next call does it again.
#
#     PYTHON=.venv/bin/python           # the interpreter that has avatarkit and avatarkit-gsplat
#     WORK=out/gpu                      # captures and avatars that parts share; a second call finds them there
#     QUICK=1                           # tiny sizes: whether everything runs, no figures
#     RASTERIZER=gsplat
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-docs/benchmarks/gpu}
WORK=${WORK:-out/gpu}
RASTERIZER=${RASTERIZER:-gsplat}
LIMIT=${LIMIT:-520}  # seconds a part may take
QUICK=${QUICK:+--quick}
PARTS=(compile tests raster recon render)
mkdir -p "$OUT" "$WORK"

run() { # FILE COMMAND…: the command, ended after LIMIT seconds, says where it writes to itself
    timeout --kill-after=20 "$LIMIT" "${@:2}"
    [ -s "$1" ] || { echo "no $1" >&2; return 1; }
}

part() {
    local made="$WORK/$1.json"
    rm -f "$made"
    case $1 in
        compile) run "$made" "$PYTHON" benchmarks/gpu_parts.py compile --json "$made" ;;
        tests) run "$made" "$PYTHON" benchmarks/gpu_parts.py tests --json "$made" ;;
        raster) run "$made" "$PYTHON" benchmarks/gpu_parts.py raster --rasterizer "$RASTERIZER" $QUICK --json "$made" ;;
        recon) run "$made" "$PYTHON" benchmarks/gpu_parts.py recon --rasterizer "$RASTERIZER" --work "$WORK" $QUICK --json "$made" ;;
        render) run "$made" "$PYTHON" benchmarks/gpu_parts.py render --rasterizer "$RASTERIZER" $QUICK --json "$made" ;;
        *) echo "gpu.sh: no part '$1'; expected one of ${PARTS[*]}" >&2; exit 2 ;;
    esac
    mv "$made" "$OUT/$1.json"
    echo "$OUT/$1.json"
}

if [ $# -gt 0 ]; then
    for name in "$@"; do part "$name"; done
    exit
fi
for name in "${PARTS[@]}"; do
    if [ -s "$OUT/$name.json" ]; then echo "$OUT/$name.json is there"; else part "$name"; fi
done
