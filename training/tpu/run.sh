#!/usr/bin/env bash
# One run on one worker of a TPU VM. `relpose tpu` copies this file to the workers and calls it:
#   push    copy the run to the bucket, if this worker wrote its state
#   fetch   copy the run from the bucket
#   start   RECIPE key=value ...: train in the background, copying to the bucket now and then
#   stop    ask training to end, and copy what there is
#   status  one line
# RELPOSE_RUN names the run, RELPOSE_BUCKET (gs://..., or empty) keeps it, RELPOSE_EVERY is the number of
# seconds between copies. Exit status: 0, or 1 with a sentence.
set -uo pipefail

root=$HOME/relpose
run=${RELPOSE_RUN:?}
bucket=${RELPOSE_BUCKET:-}
every=${RELPOSE_EVERY:-600}
out=$root/runs/$run         # the engine writes here, and only here
control=$root/control/$run  # pid, exit, log, and when what was copied
host=$(hostname)
worker=${RELPOSE_WORKER:-}
if [ -z "$worker" ]; then
    case $host in *-w-*) worker=${host##*-w-} ;; *) worker=0 ;; esac
fi
mkdir -p "$out" "$control"

say() { echo "worker $worker: $*"; }
fail() { say "$*" >&2; exit 1; }

is_running() { # [control folder]
    local pid
    # After a reboot the number may be another program's.
    pid=$(cat "${1:-$control}/pid" 2>/dev/null) && grep -qs run.sh "/proc/$pid/cmdline"
}

# Rank 0 alone writes a state, and not always on worker 0: whose state is newer than what it fetched owns it.
is_writer() { [ -f "$out/state.pt" ] && { [ ! -f "$control/fetched" ] || [ "$out/state.pt" -nt "$control/fetched" ]; }; }

push() {
    [ -n "$bucket" ] || return 0
    if [ -f "$control/log" ]; then
        gcloud storage cp "$control/log" "$bucket/logs/$run/$host.log" --quiet || say "cannot copy the log" >&2
    fi
    is_writer || return 0
    # Hidden files are half-written ones and the lock.
    gcloud storage rsync "$out" "$bucket/runs/$run" --recursive --exclude='(.*/)?\..*' --quiet || return 1
    touch "$control/copied"
}

fetch() {
    [ -n "$bucket" ] || return 0
    is_running && fail "run $run is running here: relpose tpu stop, or choose another --run"
    local found
    if found=$(gcloud storage ls "$bucket/runs/$run/" 2>&1); then
        gcloud storage rsync "$bucket/runs/$run" "$out" --recursive --quiet || fail "cannot copy $bucket/runs/$run"
        say "goes on from $bucket/runs/$run"
    else
        case $found in
            *"matched no objects"*) say "a new run: nothing in $bucket/runs/$run yet" ;;
            *) fail "cannot read $bucket: $found" ;;
        esac
    fi
    touch "$control/fetched"
}

start() {
    local other
    for other in "$root"/control/*/; do
        is_running "$other" && fail "run $(basename "$other") uses the TPU: relpose tpu stop --run $(basename "$other")"
    done
    [ -x "$root/venv/bin/relpose" ] || fail "relpose is not installed here: relpose tpu prepare"
    rm -f "$control/exit" "$control/pid" "$control/stopped"
    setsid nohup bash "$0" train "$@" >>"$control/log" 2>&1 </dev/null &
    for _ in $(seq 300); do
        # A short run may have ended before we looked.
        if [ -f "$control/pid" ] || [ -f "$control/exit" ]; then
            say "started: relpose train $* out=$out"
            return 0
        fi
        sleep 0.1
    done
    fail "did not start: see $control/log"
}

train() { # what `start` leaves in the background
    echo "--- $(date -u +%FT%TZ) relpose train $* out=$out"
    export PJRT_DEVICE=${PJRT_DEVICE:-TPU} PYTHONUNBUFFERED=1
    setsid "$root/venv/bin/relpose" train "$@" "out=$out" &
    local trainer=$! copier=
    trap 'kill -TERM -- "-$trainer" 2>/dev/null' TERM INT HUP
    if [ -n "$bucket" ]; then
        # The sleep has its own trap: it must not live on when the copier is ended.
        (trap 'kill "$sleeper" 2>/dev/null; exit 0' TERM
         while true; do sleep "$every" & sleeper=$!; wait "$sleeper"; push || echo "copying failed; next try in $every s"; done) &
        copier=$!
    fi
    echo $$ >"$control/pid.part" && mv "$control/pid.part" "$control/pid"
    local status
    while true; do
        wait "$trainer"; status=$?
        kill -0 "$trainer" 2>/dev/null || break # else a signal woke us up
    done
    for _ in $(seq 240); do # its processes, one a core, may still be saving
        kill -0 -- "-$trainer" 2>/dev/null || break
        sleep 0.5
    done
    kill -KILL -- "-$trainer" 2>/dev/null
    [ -n "$copier" ] && kill "$copier" 2>/dev/null && wait "$copier" 2>/dev/null
    push || echo "copying failed: what came after $(when copied) is on this disk alone"
    echo "--- $(date -u +%FT%TZ) ended with status $status"
    echo "$status" >"$control/exit.part" && mv "$control/exit.part" "$control/exit"
    rm -f "$control/pid"
}

stop() {
    is_running || { say "run $run is not running"; return 0; }
    touch "$control/stopped"
    kill -TERM "$(cat "$control/pid")"
    for _ in $(seq "$((2 * ${RELPOSE_PATIENCE:-300}))"); do
        is_running || { say "stopped with status $(cat "$control/exit" 2>/dev/null)"; return 0; }
        sleep 0.5
    done
    fail "run $run does not stop; see its log"
}

when() { # a control file's time
    [ -f "$control/$1" ] && date -u -r "$control/$1" +%FT%TZ
}

status() {
    local state=none saved=
    if is_running; then state=running
    elif [ -f "$control/stopped" ]; then state=stopped
    elif [ -f "$control/exit" ]; then state=ended
    elif [ -f "$control/pid" ]; then state=lost
    fi
    [ -f "$out/state.pt" ] && saved=$(date -u -r "$out/state.pt" +%FT%TZ)
    echo "relpose-status worker=$worker state=$state exit=$(cat "$control/exit" 2>/dev/null) saved=$saved copied=$(when copied)"
}

case ${1:-} in
    push | fetch | start | train | stop | status) "$@" ;;
    *) fail "expected push, fetch, start, stop or status, got: ${1:-nothing}" ;;
esac
