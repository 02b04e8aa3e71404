#!/bin/sh
# Sets up what a verb of the Makefile needs: Debian packages first, then the virtual environment.
#
#   .ci/setup.sh run|demo|test|image
#
# Quick when nothing changed: a stamp holds the checksum of what was installed from.
# PYTHON and VENV may be set; pip and apt take their own settings from the environment.
set -eu
cd "$(dirname "$0")/.."

verb=${1:?which verb: run, demo, test or image}
venv=${VENV:-.venv}
stamp="$venv/stamps/$verb"
sum=$(cat pyproject.toml .ci/setup.sh | sha256sum | cut -d' ' -f1)
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
    exit 0
fi

say() { echo "setup: $*" >&2; }

# --- which Python -----------------------------------------------------------------------------
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
        if new_enough "$candidate"; then command -v "$candidate"; return 0; fi
    done
    return 1
}

# --- which Debian packages --------------------------------------------------------------------
required="ca-certificates"
wanted=""  # their absence costs a feature, not the verb
python=$(find_python || true)
if [ -z "$python" ] || ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    required="$required python3 python3-venv"
fi
wanted="$wanted gcc pkg-config libsystemd-dev"
if [ -z "$python" ] || ! "$python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
    wanted="$wanted python3-dev"
fi
demo="ffmpeg gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base \
gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad gstreamer1.0-rtsp"
image="mmdebstrap systemd-container systemd iproute2"
case $verb in
    run) ;;
    demo) required="$required $demo" ;;
    test) required="$required $demo $image mosquitto avahi-daemon avahi-utils dbus nftables \
curl openssl socat haproxy gcc libc6-dev procps util-linux chromium vlc-bin vlc-plugin-base git"
        wanted="$wanted chromium-headless-shell" ;;
    image) required="$required $image" ;;
    *) say "unknown verb $verb"; exit 2 ;;
esac

missing_of() {
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed$' || printf '%s ' "$name"
    done
}
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo "$@"
    else return 1
    fi
}
apt_install() {
    # Daemons that come as test peers must not start by themselves on this machine.
    set -- env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
    # The lists of a fresh machine are empty or old; then the first attempt fails and says nothing.
    as_root "$@" >/dev/null 2>&1 && return
    as_root apt-get update -qq >&2 || return
    report=$(as_root "$@" 2>&1) || { echo "$report" >&2; return 1; }
}

if command -v dpkg-query >/dev/null; then
    missing=$(missing_of $required)
    optional=$(missing_of $wanted)
    if [ -n "$missing$optional" ]; then
        say "installing Debian packages: $missing$optional"
        if ! apt_install $missing $optional && { [ -z "$missing" ] || ! apt_install $missing; }; then
            if [ -n "$missing" ]; then
                say "these Debian packages are missing and could not be installed without root:"
                say "    $missing"
                say "ask an administrator to run:  apt-get install $missing$optional"
                exit 1
            fi
            say "going on without: $optional(systemd-python will not be built)"
        fi
    fi
else
    say "this is not a Debian system; needed here: $required $wanted"
fi
python=$(find_python) || { say "Python 3.11 or newer is needed and was not found"; exit 1; }

# --- the virtual environment ------------------------------------------------------------------
if ! [ -x "$venv/bin/python" ] || ! new_enough "$venv/bin/python"; then
    say "creating $venv with $python"
    "$python" -m venv "$venv"
fi
case $verb in
    test) extras="test,dev" ;;
    *) extras="" ;;
esac
say "installing Python packages into $venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check -e ".${extras:+[$extras]}" >&2
if ! "$venv/bin/python" -c 'import systemd.daemon' 2>/dev/null; then
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -e '.[systemd]' >&2 ||
        say "systemd-python was not built; readiness is reported without it, the journal gets plain lines"
fi
case $verb in
    demo) done="run demo" ;;
    test) done="run demo image test" ;;
    *) done=$verb ;;
esac
mkdir -p "$venv/stamps"
for verb in $done; do echo "$sum" >"$venv/stamps/$verb"; done
