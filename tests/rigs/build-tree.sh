#!/usr/bin/env bash
# build-tree.sh SUITE DIRECTORY: a small Debian with its systemd, bus, polkit and the clients that
# the tests run inside. Needs root and mmdebstrap; takes about 25 s. The caller (tests/src/guest.rs)
# names the directory after this file's contents, so a change here builds a new tree.
set -euo pipefail
suite=$1 directory=$2

packages=(
  systemd systemd-sysv dbus polkitd   # the house that the unit lives in
  libudev1                            # linked by our programs
  iproute2 procps                     # to arrange the guest
  libimobiledevice-utils              # trixie's speaks to newer phones than bookworm's
)
# A tree that is never read by a person needs no documents and no translations.
without=(
  --dpkgopt='path-exclude=/usr/share/man/*'
  --dpkgopt='path-exclude=/usr/share/doc/*'
  --dpkgopt='path-exclude=/usr/share/locale/*'
)
include=$(IFS=,; echo "${packages[*]}")
mmdebstrap --quiet --mode=root --variant=minbase --components=main --format=directory \
  --aptopt='Apt::Install-Recommends "false"' "${without[@]}" --include="$include" \
  "$suite" "$directory"

# Nothing may start by a clock or for a person's login.
chroot "$directory" systemctl --quiet mask \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  console-getty.service
