#!/bin/sh
# Builds the root file system of the appliance as a folder: Debian 12, systemd, the gateway's service.
#
#   image/build-rootfs.sh FOLDER        (as root)
#
# It happens in two layers. The first is Debian with the packages of packages.txt; it is kept beside
# FOLDER as base.tar and built again only when its inputs change. The second is the overlay and the
# gateway, installed by systemd/install.sh from wheels that this machine's pip builds and fetches.
# Nothing is done where neither changed.
#
# SUITE   Debian release                            (bookworm)
# MIRROR  where packages come from                  (mmdebstrap's default)
# PYTHON  of the same minor version as the release's (.venv/bin/python)
# pip (PIP_*) and apt (Acquire settings) are configured as they are on this machine.
set -eu

target=$(realpath -m "${1:?where to: image/build-rootfs.sh FOLDER}")
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
python=${PYTHON:-${VENV:-.venv}/bin/python}
work=$(dirname "$target")
say() { echo "image: $*" >&2; }

if [ "$(id -u)" != 0 ]; then
    say "a root file system is built as root; run: sudo make image"
    exit 1
fi
mkdir -p "$work"

checksum() { find "$@" -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum; }
same() { [ -e "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# --- first layer ------------------------------------------------------------------------------
base_sum="$suite ${MIRROR:-} $(checksum image/packages.txt image/build-rootfs.sh)"
if ! { [ -e "$work/base.tar" ] && same "$work/base.stamp" "$base_sum"; }; then
    say "Debian $suite"
    rm -f "$work/base.stamp"
    packages=$(grep -v '^#' image/packages.txt | paste -sd, -)
    # Documentation and translations are left out; a box has nobody who reads them there.
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='rm -f "$1"/etc/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf' \
        "$suite" "$work/base.tar" ${MIRROR:+"$MIRROR"}
    echo "$base_sum" >"$work/base.stamp"
fi

# --- second layer -----------------------------------------------------------------------------
sum="$base_sum $(checksum pyproject.toml gateway drivers systemd image config/gateway.toml)"
if [ -d "$target" ] && same "$work/rootfs.stamp" "$sum"; then
    exit 0
fi
rm -f "$work/rootfs.stamp"
say "wheels"
# Setuptools would pack what it finds in its own folder from an earlier build.
rm -rf "$work/wheels" build/lib build/bdist.*
"$python" -m pip wheel -qq --disable-pip-version-check -w "$work/wheels" . >&2
wheel=$(basename "$work"/wheels/softnet_camera_gateway-*.whl)

say "root file system"
# Left over from a build that was broken off, its mounts would be deleted through.
if grep -q " $target/" /proc/self/mounts; then
    say "something is still mounted below $target"
    exit 1
fi
rm -rf "$target"
mkdir -p "$target"
tar -C "$target" --numeric-owner -xf "$work/base.tar"
theirs=$(chroot "$target" python3 -c 'import sys; print(*sys.version_info[:2])')
if [ "$theirs" != "$("$python" -c 'import sys; print(*sys.version_info[:2])')" ]; then
    say "Debian $suite has Python $theirs; name one of the same version in PYTHON"
    exit 1
fi
cp -a image/overlay/. "$target/"
chown -R 0:0 "$target/etc/systemd"
build="$target/tmp/build"
mkdir -p "$build/config"
cp -a systemd "$work/wheels" "$build/"
cp config/gateway.toml "$build/config/"
# The wheels are all it may use: a box is what was put together here, not what a network gave.
env -i HOME=/tmp/build PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/build/wheels SOURCE="/tmp/build/wheels/$wheel" \
    PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1 LC_ALL=C.UTF-8 \
    chroot "$target" sh /tmp/build/systemd/install.sh >&2
rm -rf "$build"

echo softnet-gateway >"$target/etc/hostname"
# Empty, not absent: the first boot gives the box its own number and notes that it was the first.
: >"$target/etc/machine-id"
chroot "$target" systemctl --quiet enable systemd-networkd.service >&2
# Not on a box: package lists that nobody updates, a login on every console.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer; do
    ln -sf /dev/null "$target/etc/systemd/system/$unit"
done
chroot "$target" passwd --quiet --lock root
echo "$sum" >"$work/rootfs.stamp"
say "done: $target ($(du -sh "$target" | cut -f1))"
