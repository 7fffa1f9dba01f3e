#!/bin/sh
# Run a command (a shell, if none is named) beside three hosts on one switch:
#
#     sudo examples/standalone/hosts.sh [COMMAND…]
#
# rack-1, rack-2 and rack-3 are network namespaces; the command is in a fourth one, which has the
# switch and the outside world. Mounts and processes are its own too, /run is empty, and the
# example stands in /run/standalone. So nothing of this machine is touched, and whatever becomes
# of the command, all that was made is gone with it.
set -eu
if [ -z "${STANDALONE:-}" ]; then
    STANDALONE=$(cd "$(dirname "$0")" && pwd) && export STANDALONE
    PATH="$PATH:/usr/sbin:/sbin" && export PATH
    command -v svcc >/dev/null || PATH="$STANDALONE/../../.venv/bin:$PATH"
    exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
fi

mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/standalone
cp -R "$STANDALONE/." /run/standalone
cd /run/standalone

# Names are asked for at the cluster IP of the name server, by whatever runs on the hosts.
resolv=$(readlink -m /etc/resolv.conf)
case $resolv in
    /run/*) mkdir -p "$(dirname "$resolv")" && cp resolv.conf "$resolv" ;;
    *) mount --bind resolv.conf "$resolv" ;;
esac

# The switch, with the hosts' gateway, and an address that is nowhere near the hosts.
ip link set lo up
ip address add 198.51.100.20/32 dev lo
ip link add switch type bridge
ip address add 192.168.50.1/24 dev switch
ip link set switch up
for number in 1 2 3; do
    host=rack-$number
    ip netns add $host
    ip link add $host type veth peer name eth0 netns $host
    ip link set $host master switch up
    ip -n $host link set lo up
    ip -n $host address add 192.168.50.1$number/24 dev eth0
    ip -n $host link set eth0 up
    ip -n $host route add default via 192.168.50.1
    ip netns exec $host sysctl -qw net.ipv4.ip_forward=1
done
# A cluster IP is no address of the network: what no rule on a host has sent elsewhere is turned
# away here, at once.
sysctl -qw net.ipv4.ip_forward=1
ip route add prohibit 10.96.0.0/16
# Which host gets what is sent to balancer addresses is for the network to say; any will do.
ip route add 203.0.113.0/24 via 192.168.50.11 src 198.51.100.20

export objects="-f manifests -f hosts --lock svcc.lock --config svcc.yaml"
[ $# -gt 0 ] || set -- bash
"$@"
