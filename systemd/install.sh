#!/bin/sh
# Installs the gateway as a systemd service, or takes it off again with --remove.
#
# program   /opt/softnet-gateway (a virtual environment), commands linked into /usr/local/bin
# settings  /etc/softnet-gateway/gateway.toml (kept when it is there already)
# state     /var/lib/softnet-gateway
#
# Run again after an update of the sources: the program is replaced, settings and state stay.
# SOURCE may name a wheel to install instead of this folder; pip takes its own settings from the
# environment.
# With --remove, PURGE=1 also removes settings, state and the user.
set -eu
cd "$(dirname "$0")/.."

prefix=/opt/softnet-gateway
etc=/etc/softnet-gateway
unit=/etc/systemd/system/softnet-gateway.service
state=/var/lib/softnet-gateway
say() { echo "install: $*"; }
booted() { [ -d /run/systemd/system ]; }

if [ "$(id -u)" != 0 ]; then
    say "this needs root; run: sudo make ${1:+un}install" >&2
    exit 1
fi

if [ "${1:-}" = --remove ]; then
    if booted; then systemctl disable --now softnet-gateway.service 2>/dev/null || true; fi
    rm -f "$unit" /etc/sysusers.d/softnet-gateway.conf \
        /usr/local/bin/softnet-gateway /usr/local/bin/softnet-remote
    rm -rf "$prefix"
    if booted; then systemctl daemon-reload; fi
    if [ "${PURGE:-}" = 1 ]; then
        rm -rf "$etc" "$state"
        if getent passwd softnet-gateway >/dev/null; then userdel softnet-gateway; fi
        say "removed with settings and state"
    else
        say "removed; settings stay in $etc and state in $state (PURGE=1 removes them too)"
    fi
    exit 0
fi

# Debian's own Python: one from a home directory is out of the service's sight.
python=${PYTHON:-/usr/bin/python3}
if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
then
    say "installing Debian's Python"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv ||
        { apt-get update -qq && apt-get install -y -qq python3 python3-venv; }
fi
# systemd-python comes from Debian where it can be had, so that nothing is compiled on the box.
if ! "$python" -c 'import systemd.daemon' 2>/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-systemd ||
        say "going on without python3-systemd: readiness is reported without it"
fi

say "program into $prefix"
umask 022
# Setuptools would pack what it finds in its own folder from an earlier build.
rm -rf build/lib build/bdist.*
"$python" -m venv --clear --system-site-packages "$prefix"
"$prefix/bin/python" -m pip install -qq --disable-pip-version-check --no-compile "${SOURCE:-.}"
rm -rf build/lib build/bdist.*
"$prefix/bin/python" -m compileall -q "$prefix/lib" || true
mkdir -p "$prefix/share/doc"
cp README.md LICENSE "$prefix/share/doc/" 2>/dev/null || true
mkdir -p /usr/local/bin
ln -sf "$prefix/bin/softnet-gateway" "$prefix/bin/softnet-remote" /usr/local/bin/

say "unit, user and settings"
install -D -m 0644 systemd/sysusers.conf /etc/sysusers.d/softnet-gateway.conf
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /etc/sysusers.d/softnet-gateway.conf
elif ! getent passwd softnet-gateway >/dev/null; then
    useradd --system --home-dir "$state" --shell /usr/sbin/nologin softnet-gateway
fi
install -d -m 0750 -g softnet-gateway "$etc"
if [ ! -e "$etc/gateway.toml" ]; then
    install -m 0640 -g softnet-gateway config/gateway.toml "$etc/gateway.toml"
fi
install -D -m 0644 systemd/gateway.service "$unit"

if booted; then
    systemctl daemon-reload
    systemctl enable softnet-gateway.service
    systemctl restart softnet-gateway.service
    say "running; the page is on port 8080, the setup code in: journalctl -u softnet-gateway"
else
    mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -sf "$unit" /etc/systemd/system/multi-user.target.wants/softnet-gateway.service
    say "installed; systemd is not running here, the service starts with the next boot"
fi
