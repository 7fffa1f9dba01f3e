#!/bin/bash
# PID 1 of the test kernel: make what a Linux system has, run a command, stop.
# Arguments come by the kernel's command line as environment: SVCC_FOLDER is where the command
# (a script) lies and where its output and exit code go.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm 2>/dev/null
ip link set lo up
# Modules that the kernel asks for by itself would be loaded without this environment, and
# modprobe needs it here (see boot.py): all are loaded now, and it may ask for none. Otherwise each
# getsockopt(2) of iptables-legacy starts a modprobe for bpfilter, which is most of what it costs.
cd "/lib/modules/$(uname -r)/kernel" || exit 1
find net -name '*.ko' -printf '%f\n' | sed 's/\.ko$//' |
    grep -E '^(xt_|ipt_|ip6t_|iptable_|ip6table_|nf_tables|nft_|nf_conntrack_netlink|ip_set|ip_vs)' |
    grep -vE '^(ip_vs_ftp|ip_vs_pe_sip)$' | xargs modprobe -a veth dummy
echo >/proc/sys/kernel/modprobe
cd /
bash "$SVCC_FOLDER/command" >"$SVCC_FOLDER/output" 2>&1 </dev/null
echo $? >"$SVCC_FOLDER/code"
sync
halt -f
