"""Gives this network namespace a wire to another one, and lets that one answer.

    unshare --net python3 wires.py

Here is 192.0.2.9 on `here0`; beyond the wire are 192.0.2.1 and 192.0.2.2, which send back what they are sent, over TCP
on port 7443 and over UDP on port 53. Says `ready PID`, the process beyond, or `SKIPPED: why`, and goes when its stdin
ends. Only the standard library: netlink by hand, for want of a program that is on every machine.
"""

import ctypes
import os
import signal
import socket
import struct
import sys
import threading

CLONE_NEWNET = 0x40000000
NLM_F_REQUEST_ACK, NLM_F_CREATE_EXCL = 0x05, 0x600
RTM_NEWLINK, RTM_NEWADDR = 16, 20
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID = 3, 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
NLMSG_ERROR = 2


def attribute(kind, data):
    padding = -len(data) % 4
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * padding


def named(name):
    return attribute(IFLA_IFNAME, name.encode() + b"\0")


def interface(index=0, up=False):
    return struct.pack("=BxHiII", 0, 0, index, int(up), int(up))


def ask(kind, flags, body):
    """Sends one request to the kernel and waits for its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST_ACK | flags, 1, 0) + body)
        answer = link.recv(65536)
    if struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR:
        code = struct.unpack_from("=i", answer, 16)[0]
        if code:
            raise OSError(-code, os.strerror(-code))


def make_wire(pid):
    """A pair of interfaces: `here0` here, `there0` in the namespace of the process."""
    peer = interface() + named("there0") + attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))
    data = attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"veth") + data)
    ask(RTM_NEWLINK, NLM_F_CREATE_EXCL, interface() + named("here0") + info)


def bring_up(name, *addresses):
    index = socket.if_nametoindex(name)
    for address in addresses:
        raw = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, index)
        ask(RTM_NEWADDR, NLM_F_CREATE_EXCL, body + attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw))
    ask(RTM_NEWLINK, 0, interface(index, up=True))


def echo(connection):
    try:
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)
    except OSError:
        # The other side has gone.
        return


def answer_tcp(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def answer_udp(receiver):
    while True:
        data, sender = receiver.recvfrom(4096)
        receiver.sendto(data, sender)


def live_beyond(ready, go):
    """The other namespace, in a process of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        os._exit(1)
    os.write(ready, b"x")
    os.read(go, 1)
    bring_up("lo")
    bring_up("there0", "192.0.2.1", "192.0.2.2")
    for address in ("192.0.2.1", "192.0.2.2"):
        listener = socket.create_server((address, 7443))
        threading.Thread(target=answer_tcp, args=(listener,), daemon=True).start()
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((address, 53))
        threading.Thread(target=answer_udp, args=(receiver,), daemon=True).start()
    os.write(ready, b"x")
    signal.pause()


def main():
    ready_here, ready_there = os.pipe()
    go_there, go_here = os.pipe()
    child = os.fork()
    if child == 0:
        live_beyond(ready_there, go_there)
    os.close(ready_there)
    try:
        if not os.read(ready_here, 1):
            raise OSError("no second network namespace")
        make_wire(child)
        bring_up("lo")
        bring_up("here0", "192.0.2.9")
        os.write(go_here, b"x")
        if not os.read(ready_here, 1):
            raise OSError("the other end of the wire does not answer")
        print("ready", child, flush=True)
        sys.stdin.read()
    except OSError as error:
        print(f"SKIPPED: {error}", flush=True)
    finally:
        os.kill(child, signal.SIGKILL)


main()
