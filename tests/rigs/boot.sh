#!/usr/bin/env bash
# boot.sh TREE MACHINE LOG VIEW: boots TREE under its own systemd and stops it when the standard
# input ends, by will or because whoever held it died. Started by tests/src/guest.rs, which listens
# on NOTIFY_SOCKET: systemd-nspawn says there when the guest is up.
#
# - The tree stays as it is: the guest writes into an overlay that is gone with it.
# - The guest has a network of its own, with nothing in it but lo.
# - VIEW=unified shows the guest a pure cgroup2 hierarchy, which systemd 256 and later insist on,
#   on a machine that mounts it beside the old ones; VIEW=host shows it what there is.
# - systemd needs a terminal as its console, or the boot stalls: `script` makes one.
# - All of it runs in a process namespace of its own, which the kernel kills with its first process,
#   that with the one that made it, and that with this script: however this script ends, nothing
#   goes on. (systemd-nspawn alone does not take its guest along when it is killed.)
set -euo pipefail
tree=$1 machine=$2 log=$3 view=$4

inside="exec systemd-nspawn --quiet --register=no --keep-unit --private-network --notify-ready=yes \
  --volatile=overlay --machine=$machine --directory='$tree' --boot --console=interactive \
  systemd.show_status=0"
if [ "$view" = unified ] && [ -d /sys/fs/cgroup/unified ]; then
  inside="mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup && $inside"
fi

setsid setpriv --pdeathsig KILL -- \
  unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
  script -qfec "$inside" "$log" </dev/null >/dev/null 2>&1 &
runner=$!

# systemd-nspawn answers SIGTERM by shutting the guest down in good order. It is what the shell in
# `script`, the only child of `unshare`, has become.
stop() {
  local nspawn
  nspawn=$(pgrep --parent "$(pgrep --parent "$runner")" || true)
  [ -z "$nspawn" ] || kill -TERM "$nspawn" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$runner" 2>/dev/null || return 0
    sleep 0.1
  done
  # A guest that takes longer is nobody's loss.
  kill -KILL "$runner" 2>/dev/null || true
}
trap stop EXIT

# Ends with the input, or when the guest is gone by itself.
while kill -0 "$runner" 2>/dev/null; do
  if read -r -t 1 _; then continue; else [ $? -gt 128 ] || break; fi
done
