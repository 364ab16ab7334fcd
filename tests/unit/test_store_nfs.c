/* SPDX-License-Identifier: Apache-2.0 */
/* What the store makes of a server's answers and addresses; with real servers: tests/e2e/test_nfs_store.py. */
#include "unit.h"

#include "base/scope.h"
#include "store/nfs4.h"
#include "store/nfs_error.h"
#include "store/nfs_socket.h"
#include "store/nfs_walk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listener on a loopback address; with a queue that is full it swallows whoever connects. */
struct door {
    int fd;
    int waiting[4];
    struct sockaddr_in at;
};

static void door_open(struct door *door, const char *address, bool swallows)
{
    socklen_t len = sizeof door->at;
    *door = (struct door){.fd = socket(AF_INET, SOCK_STREAM, 0), .waiting = {-1, -1, -1, -1}};
    door->at = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, address, &door->at.sin_addr), 1);
    assert_int_equal(bind(door->fd, (struct sockaddr *)&door->at, sizeof door->at), 0);
    assert_int_equal(listen(door->fd, swallows ? 0 : 8), 0);
    assert_int_equal(getsockname(door->fd, (struct sockaddr *)&door->at, &len), 0);
    for (size_t i = 0; swallows && i < sizeof door->waiting / sizeof *door->waiting; i++) {
        door->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(door->waiting[i], (struct sockaddr *)&door->at, sizeof door->at);
    }
}

static void door_close(struct door *door)
{
    for (size_t i = 0; i < sizeof door->waiting / sizeof *door->waiting; i++)
        if (door->waiting[i] >= 0)
            close(door->waiting[i]);
    close(door->fd);
}

/* The resolver's answer, whatever is asked. */
static struct door doors[2];
static struct addrinfo answer[2];

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    for (size_t i = 0; i < 2; i++)
        answer[i] = (struct addrinfo){
            .ai_family = AF_INET,
            .ai_socktype = SOCK_STREAM,
            .ai_addr = (struct sockaddr *)&doors[i].at,
            .ai_addrlen = sizeof doors[i].at,
            .ai_next = i == 0 ? &answer[1] : NULL,
        };
    *out = answer;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
}

static int connect_within(int64_t limit_ns)
{
    scope_fd int fd = -1;
    struct err err = {0};
    return nfs_socket_connect("server", 1, nfs_now_ns() + limit_ns, &fd, &err);
}

static void connect__leaves_time_for_the_second_address(void **state)
{
    door_open(&doors[0], "127.0.0.1", true);
    door_open(&doors[1], "127.0.0.2", false);
    assert_int_equal(connect_within(2400000000), 0);
    door_close(&doors[0]);
    door_close(&doors[1]);
}

static void connect__goes_on_at_once_from_an_address_that_refuses(void **state)
{
    door_open(&doors[0], "127.0.0.1", false);
    door_open(&doors[1], "127.0.0.2", false);
    close(doors[0].fd);
    doors[0].fd = -1;
    int64_t begin_ns = nfs_now_ns();
    assert_int_equal(connect_within(60000000000), 0);
    assert_true(nfs_now_ns() - begin_ns < 20000000000);
    door_close(&doors[1]);
    assert_int_equal(connect_within(60000000000), -ECONNREFUSED);
}

static void connect__keeps_the_limit_when_all_addresses_swallow(void **state)
{
    door_open(&doors[0], "127.0.0.1", true);
    door_open(&doors[1], "127.0.0.2", true);
    int64_t begin_ns = nfs_now_ns();
    assert_int_equal(connect_within(300000000), -ETIMEDOUT);
    assert_true(nfs_now_ns() - begin_ns >= 300000000);
    door_close(&doors[0]);
    door_close(&doors[1]);
}

/* A fattr4's values, put together as a server does. */
struct values {
    char bytes[64];
    u_int len;
};

static void add32(struct values *values, uint32_t n)
{
    n = htonl(n);
    memcpy(values->bytes + values->len, &n, sizeof n);
    values->len += sizeof n;
}

static void add64(struct values *values, uint64_t n)
{
    add32(values, (uint32_t)(n >> 32));
    add32(values, (uint32_t)n);
}

static int attributes_of(bool has_fileid, uint32_t nanoseconds, u_int cut, struct nfs_node *out)
{
    struct values values = {.len = 0};
    uint32_t bits[] = {1U << FATTR4_TYPE | 1U << FATTR4_SIZE,
                       1U << (FATTR4_NUMLINKS - 32) | 1U << (FATTR4_TIME_MODIFY - 32)};
    add32(&values, NF4REG);
    add64(&values, 1234);
    if (has_fileid) {
        bits[0] |= 1U << FATTR4_FILEID;
        add64(&values, 0x100000002);
    }
    add32(&values, 3);
    add64(&values, 1700000000);
    add32(&values, nanoseconds);
    const fattr4 attributes = {.attrmask = {2, bits},
                               .attr_vals = {values.len - cut, values.bytes}};
    return nfs4_attributes(&attributes, out, NULL);
}

static void attributes__are_taken_apart(void **state)
{
    struct nfs_node node = {0};
    assert_int_equal(attributes_of(true, 5, 0, &node), 0);
    assert_int_equal(node.type, NFS_FILE);
    assert_int_equal(node.len, 1234);
    assert_int_equal(node.fileid, 0x100000002);
    assert_int_equal(node.n_links, 3);
    assert_int_equal(node.mtime.tv_sec, 1700000000);
    assert_int_equal(node.mtime.tv_nsec, 5);
    assert_int_equal(attributes_of(true, 5, 4, &node), -EIO);
}

static void attributes__without_a_file_number_are_refused(void **state)
{
    struct nfs_node node = {0};
    struct err err = {0};
    int ret = attributes_of(false, 5, 0, &node);
    assert_int_equal(ret, -EOPNOTSUPP);
    nfs_error_set(&err, ret, 0, "stat", "nfs://s/e", "x");
    assert_non_null(strstr(err.text, "file number"));
}

static void attributes__have_nanoseconds_below_a_second(void **state)
{
    struct nfs_node node = {0};
    assert_int_equal(attributes_of(true, UINT32_MAX, 0, &node), 0);
    assert_int_equal(node.mtime.tv_nsec, 999999999);
}

static void same_file__is_never_told_by_the_number_0(void **state)
{
    const struct nfs_node a = {.fileid = 7}, b = {.fileid = 8}, none = {.fileid = 0};
    assert_true(nfs_same_file(&a, &a));
    assert_false(nfs_same_file(&a, &b));
    assert_false(nfs_same_file(&none, &none));
}

/* The result of an op carries a status of its own, which a broken server may leave at odds with the whole one's. */
static void find__gives_no_result_that_failed(void **state)
{
    nfs_resop4 results[2] = {{.resop = OP_PUTFH}, {.resop = OP_READ}};
    nfs_resop4 found;
    const COMPOUND4res res = {.resarray = {2, results}};
    assert_true(nfs4_find(&res, OP_READ, &found));
    results[1].nfs_resop4_u.opread.status = NFS4ERR_IO;
    assert_false(nfs4_find(&res, OP_READ, &found));
    assert_true(nfs4_find(&res, OP_PUTFH, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect__leaves_time_for_the_second_address),
        cmocka_unit_test(connect__goes_on_at_once_from_an_address_that_refuses),
        cmocka_unit_test(connect__keeps_the_limit_when_all_addresses_swallow),
        cmocka_unit_test(attributes__are_taken_apart),
        cmocka_unit_test(attributes__without_a_file_number_are_refused),
        cmocka_unit_test(attributes__have_nanoseconds_below_a_second),
        cmocka_unit_test(same_file__is_never_told_by_the_number_0),
        cmocka_unit_test(find__gives_no_result_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
