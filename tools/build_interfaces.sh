#!/bin/bash
# build_interfaces.sh SOURCE PREFIX BUILD: generate a ROS interface package with CMake into a virtual environment.
set -euo pipefail
source=$1 prefix=$2 build=$3
echo "setup: generating the interfaces of $source"
export VIRTUAL_ENV=$prefix AMENT_PREFIX_PATH=$prefix CMAKE_PREFIX_PATH=$prefix PATH=$prefix/bin:$PATH
mkdir -p "$build"
log=$build/setup.log
if ! {
    cmake -S "$source" -B "$build" -G Ninja -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX="$prefix" \
        -DCMAKE_MAKE_PROGRAM="$prefix/bin/ninja" -DPython3_EXECUTABLE="$prefix/bin/python" \
        -DPython3_FIND_VIRTUALENV=ONLY &&
    cmake --build "$build" --target install
} >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "setup: generating the interfaces of $source failed; the whole log: $log" >&2
    exit 1
fi
