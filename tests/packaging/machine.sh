#!/bin/sh
# Boots systemd in namespaces of its own, for the tests of the packages: a machine with this one's programs, and a
# root file system, processes, network, host name and control groups of its own. What is written there is in memory
# and gone at the end; nothing of it reaches this machine, whose package database above all stays as it is.
#
#   machine.sh boot FOLDER       becomes the machine; FOLDER/share is its /share
#   machine.sh clean FOLDER      takes away what it leaves behind: empty control groups
#
# Exit code 77: this machine cannot do that, and says why.
set -eu

verb=$1
folder=$2
group=tripline-packaging-$(basename "$folder")

refuse() {
    echo "REFUSED: $*"
    exit 77
}

# The control groups of this machine, seen in a mount of one's own.
mount_groups() {
    mkdir -p "$folder/groups"
    mount -t cgroup2 none "$folder/groups" || refuse "no control groups (version 2)"
    below=$(sed -n 's/^0:://p' /proc/self/cgroup)
}

boot() {
    mount --make-rprivate / || refuse "no mounts"
    mount_groups
    mkdir "$folder/groups$below/$group" || refuse "no control group of its own"
    echo 0 >"$folder/groups$below/$group/cgroup.procs" || refuse "the control group takes no process"
    umount "$folder/groups"
    exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup sh "$0" start "$folder"
}

start() {
    memory=$folder/memory
    mkdir -p "$memory" "$folder/share"
    mount -t tmpfs -o mode=755 tmpfs "$memory" || refuse "no tmpfs"
    mkdir "$memory/upper" "$memory/work" "$memory/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" "$memory/root" ||
        refuse "no overlay over the root file system"
    cd "$memory/root"
    mount -t proc proc proc
    # The kernel's settings belong to the whole machine.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
        : >"dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir -p dev/pts dev/shm share old
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    mount --bind "$folder/share" share
    settle
    pivot_root . old
    cd /
    umount -l old
    exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=machine.target --log-target=console --show-status=no
}

# Where nft is not installed, and was put into a folder for the tests (TRIPLINE_NFT), that one is installed there.
provide_nft() {
    parts=$(dirname "${TRIPLINE_NFT:-/none/nft}")/usr
    if [ ! -x usr/sbin/nft ] && [ -x "$parts/sbin/nft" ]; then
        cp "$parts/sbin/nft" usr/sbin/
        cp -r "$parts/lib/." usr/lib/
    fi
}

# What starts with the machine: as little as the packages need.
settle() {
    echo 0123456789abcdef0123456789abcdef >etc/machine-id
    # Images of containers forbid starting services by this file.
    rm -f usr/sbin/policy-rc.d
    # There is no network: apt must not offer what packages recommend.
    rm -rf var/lib/apt/lists
    provide_nft
    for unit in systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-udevd.service \
        systemd-binfmt.service systemd-update-utmp.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \
        dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount; do
        ln -sf /dev/null "etc/systemd/system/$unit"
    done
    cat >etc/systemd/system/machine.target <<UNIT
[Unit]
Description=A machine of its own
Requires=sysinit.target systemd-journald.service
After=sysinit.target systemd-journald.service
UNIT
}

clean() {
    mount_groups
    own=$folder/groups$below/$group
    if [ -d "$own" ]; then
        # Its processes were told to end; they are gone a moment after.
        while grep -q 'populated 1' "$own/cgroup.events"; do
            sleep 0.05
        done
        find "$own" -depth -type d -exec rmdir {} \;
    fi
    umount "$folder/groups"
}

case $verb in
boot) boot ;;
start) start ;;
clean) clean ;;
esac
