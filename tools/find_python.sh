#!/bin/sh
# Print the path of a Python 3.11 or 3.12 that can make a virtual environment and compile extensions.
# Otherwise say on stderr what is missing and which apt package brings it. PYTHON=... names one yourself.
here=$(dirname "$0")

usable() { command -v "$1" >/dev/null 2>&1 && "$1" -c "" >/dev/null 2>&1; }

candidates=${PYTHON:-python3.11 python3.12 /usr/bin/python3.11 /usr/bin/python3.12 python3}
for python in $candidates; do
    if usable "$python" && "$python" "$here/check_machine.py" 2>/dev/null; then
        exit 0
    fi
done
for python in $candidates; do
    if usable "$python"; then
        "$python" "$here/check_machine.py" >/dev/null
        exit 1
    fi
done
echo "setup: no Python found (tried: $candidates); on Debian or Ubuntu: sudo apt install python3 python3-venv python3-dev" >&2
exit 1
