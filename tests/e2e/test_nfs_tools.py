# SPDX-License-Identifier: Apache-2.0
"""The tools of the NFS tests do what those tests rely on: a server of one's own, and a proxy that meddles request by request."""

import os
import socket
import subprocess
import time

import pytest
import tcp_proxy
from ganesha import Ganesha

import fkvtest


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Ganesha(tmp_path_factory.mktemp("nfs"), "--fresh")
    try:
        yield server.start()
    finally:
        server.clean()


@pytest.fixture
def proxy(server):
    with tcp_proxy.TcpProxy(server.port) as proxy:
        yield proxy


def nfs_cat(url):
    return subprocess.run(["nfs-cat", url], capture_output=True, check=False, timeout=60)


def nfs_copy(source, target):
    return subprocess.run(["nfs-cp", source, target], capture_output=True, text=True, check=False, timeout=60)


def write(server, name, data):
    with open(server.path(name), "wb") as file:
        file.write(data)


@pytest.mark.parametrize("version", [3, 4])
def test_the_proxy_counts_and_passes_everything_through(server, proxy, version):
    data = os.urandom(3 << 20)
    write(server, "large", data)
    assert nfs_cat(server.url(version, "large", proxy)).stdout == data
    assert proxy.counts["READ"] >= 3 and proxy.counts["LOOKUP"] >= 1
    data = data[:1000]  # nfs-cp of libnfs 4.0 fails to send more than that in NFSv4
    write(server, "small", data)
    done = nfs_copy(server.path("small"), server.url(version, f"copy{version}", proxy))
    assert done.returncode == 0, done.stderr
    assert proxy.counts["WRITE"] >= 1 and proxy.counts["OPEN" if version == 4 else "CREATE"] >= 1
    with open(server.path(f"copy{version}"), "rb") as file:
        assert file.read() == data
    assert not [name for name in proxy.counts if name.startswith("OP0") or name[2:].isdigit()]


@pytest.mark.parametrize("version", [3, 4])
def test_the_proxy_flips_one_byte_of_a_read(server, proxy, version):
    data = bytes(1 << 20)
    write(server, "zeros", data)
    rule = proxy.when("READ", tcp_proxy.corrupt(), min_reply=65536)
    got = nfs_cat(server.url(version, "zeros", proxy)).stdout
    assert len(got) == len(data) and sum(1 for byte in got if byte) == 1
    assert rule.done() == 1
    assert nfs_cat(server.url(version, "zeros", proxy)).stdout == data, "only the first one"


@pytest.mark.parametrize("version", [3, 4])
def test_a_lost_reply_is_of_a_request_that_was_done(server, proxy, version):
    name = f"made{version}"
    rule = proxy.when("OPEN" if version == 4 else "CREATE", tcp_proxy.lose_reply())
    process = subprocess.Popen(["nfs-cp", "/etc/hostname", server.url(version, name, proxy)], stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    try:
        rule.wait()
        fkvtest.wait_until(lambda: os.path.exists(server.path(name)), "the server has made the file")
    finally:
        process.kill()
        process.wait()


def test_a_cut_request_never_arrives(server, proxy):
    proxy.when("CREATE", tcp_proxy.cut(), times=None)
    process = subprocess.Popen(["nfs-cp", "/etc/hostname", server.url(3, "never", proxy)], stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    try:
        fkvtest.wait_until(lambda: proxy.counts["CREATE"], "it asked")
    finally:
        process.kill()
        process.wait()
    assert not os.path.exists(server.path("never"))


def test_held_connections_stay_and_go_on(server, proxy):
    write(server, "small", b"small\n")
    proxy.hold()
    process = subprocess.Popen(["nfs-cat", server.url(3, "small", proxy)], stdout=subprocess.PIPE)
    try:
        fkvtest.wait_until(lambda: proxy.accepted, "it connected")
        time.sleep(0.1)
        assert process.poll() is None and proxy.total() == 0
        proxy.release()
        assert process.communicate(timeout=30)[0] == b"small\n"
    finally:
        process.kill()
        process.wait()


def test_two_servers_side_by_side_and_one_killed(server, work_dir):
    with Ganesha(work_dir) as other:
        assert other.port != server.port
        write(other, "who", b"other\n")
        ports = other.port, other.mount_port
        other.kill9()
        fkvtest.fails_with(111, socket.create_connection, ("127.0.0.1", other.port))
        other.restart()
        assert (other.port, other.mount_port) == ports
        for version in (3, 4):
            assert nfs_cat(other.url(version, "who")).stdout == b"other\n"
            assert nfs_cat(server.url(version, "who")).stdout == b""
        other.pause()
        other.resume()
        other.reload("--ro")
        for version in (3, 4):
            assert "ROFS" in nfs_copy("/etc/hostname", other.url(version, "new")).stderr
        other.reload("--rw")
        assert nfs_copy("/etc/hostname", other.url(4, "new")).returncode == 0
        pid = other.pid
    assert not os.path.exists(f"/proc/{pid}")
