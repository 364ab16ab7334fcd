/* SPDX-License-Identifier: Apache-2.0 */
/* nfs:// URLs: what is taken, what is refused and why. */
#include "unit.h"

#include "store/store.h"
#include "store/url.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void url__takes_an_nfs_url_apart(void **state)
{
    struct url url;
    assert_int_equal(url_parse("nfs://server/export/dir", &url, NULL), 0);
    assert_true(url.is_nfs);
    assert_string_equal(url.nfs.server, "server");
    assert_string_equal(url.nfs.path, "/export/dir");
    assert_int_equal(url.nfs.version, 3);
    assert_int_equal(url.nfs.nfsport, 2049);
    assert_int_equal(url.nfs.mountport, 0);
    assert_int_equal(url.nfs.uid, geteuid());
    assert_int_equal(url.nfs.gid, getegid());
    assert_string_equal(url.canonical, "nfs://server/export/dir");
    assert_int_equal(url_parse("nfs://10.0.0.1/e?version=4&nfsport=12049&uid=5&gid=0", &url, NULL),
                     0);
    assert_int_equal(url.nfs.version, 4);
    assert_int_equal(url.nfs.nfsport, 12049);
    assert_int_equal(url.nfs.uid, 5);
    assert_int_equal(url.nfs.gid, 0);
    assert_int_equal(url.nfs.n_groups, 0);
    assert_int_equal(url_parse("nfs://[fe80::1%eth0]/e", &url, NULL), 0);
    assert_string_equal(url.nfs.server, "fe80::1%eth0");
    assert_string_equal(url.canonical, "nfs://[fe80::1%eth0]/e");
}

static void url__has_one_spelling_for_a_place(void **state)
{
    static const char *const same[] = {
        "nfs://s/e/d?version=4&nfsport=1&mountport=2&uid=3&gid=4",
        "nfs://s//e///d/?gid=4&uid=3&mountport=2&nfsport=1&version=4",
        "nfs://s/e/d?uid=3&gid=04&version=4&nfsport=1&mountport=2&",
    };
    struct url url;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(url_parse(same[i], &url, NULL), 0);
        assert_string_equal(url.canonical, same[0]);
        assert_string_equal(url.nfs.place, "nfs://s/e/d");
    }
    /* And that one is taken back for what it is. */
    assert_int_equal(url_parse(same[0], &url, NULL), 0);
    static const char *const roots[] = {"nfs://s/", "nfs://s//", "nfs://s/?"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        assert_int_equal(url_parse(roots[i], &url, NULL), 0);
        assert_string_equal(url.nfs.path, "/");
        assert_string_equal(url.canonical, "nfs://s/");
    }
}

static void url__refuses_what_is_no_nfs_url_and_says_why(void **state)
{
    static const struct {
        const char *url;
        const char *says;
    } bad[] = {
        {"nfs://", "expected nfs://server/export/dir"},
        {"nfs://server", "expected nfs://server/export/dir"},
        {"nfs:///export", "expected nfs://server/export/dir"},
        {"nfs://server:2049/export", "expected nfs://server/export/dir"},
        {"nfs://user@server/export", "expected nfs://server/export/dir"},
        {"nfs://[::1/export", "expected nfs://server/export/dir"},
        {"nfs://[]/export", "expected nfs://server/export/dir"},
        {"nfs://[::1]x/export", "expected nfs://server/export/dir"},
        {"nfs://-/../e", "not allowed"},
        {"nfs://s/e/../f", "not allowed"},
        {"nfs://s/e/./f", "not allowed"},
        {"nfs://s/e\nf", "a control character"},
        {"nfs://s/e?version=2", "version: expected a number from 3 to 4, found \"2\""},
        {"nfs://s/e?version=", "expected a number"},
        {"nfs://s/e?version", "expected a number"},
        {"nfs://s/e?version=4x", "found \"4x\""},
        {"nfs://s/e?nfsport=0", "from 1 to 65535"},
        {"nfs://s/e?nfsport=65536", "from 1 to 65535"},
        {"nfs://s/e?uid=-1", "found \"-1\""},
        {"nfs://s/e?uid=4294967295", "from 0 to 4294967294"},
        {"nfs://s/e?uid=99999999999999999999", "expected a number"},
        {"nfs://s/e?uid=1&uid=2", "uid= is there twice"},
        {"nfs://s/e?nfsprt=1", "unknown option \"nfsprt\""},
        {"nfs://s/e?=1", "unknown option"},
        {"nfs://s/e?autoreconnect=-1", "autoreconnect= cannot be set: fkv reconnects by itself"},
        {"nfs://s/e?version=4&readahead=1", "several requests in flight"},
        {"nfs://s/e?pagecache=1", "another must see at once"},
        {"nfs://s/e?dircache=1", "another must see at once"},
        {"nfs://s/e?auto-traverse-mounts=1", "a store is one export"},
        {"nfs://s/e?tcp-syncnt=1", "a time limit of its own"},
        {"nfs://s/e?debug=9", "debug= cannot be set"},
        {"nfs://s/e?if=eth0", "routing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct url url;
        struct err err = {0};
        assert_int_equal(url_parse(bad[i].url, &url, &err), -EINVAL);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].url, err.text, bad[i].says);
    }
}

static void url__keeps_to_its_limits(void **state)
{
    struct url url;
    char text[STORE_URL_MAX + 100] = "nfs://s/";
    size_t at = strlen(text);
    memset(text + at, 'a', sizeof text - at - 1);
    for (size_t len = at + 1; len < sizeof text; len += 13) {
        struct err err = {0};
        char was = text[len];
        text[len] = '\0';
        bool is_name = len - at <= 255;
        assert_int_equal(url_parse(text, &url, &err), is_name ? 0 : -EINVAL);
        text[len] = was;
    }
    char server[400] = "nfs://";
    memset(server + 6, 's', 300);
    strcpy(server + 306, "/e");
    assert_int_equal(url_parse(server, &url, NULL), -EINVAL);
}

static void url__opening_asks_nobody(void **state)
{
    struct store *store = NULL;
    /* Nothing listens at port 1; an address that leads nowhere would do as well. */
    assert_int_equal(store_open("nfs://127.0.0.1/e?nfsport=1&mountport=1", &store, NULL), 0);
    assert_string_equal(store_url(store), "nfs://127.0.0.1/e?nfsport=1&mountport=1");
    assert_int_equal(store_n_requests(store), 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url__takes_an_nfs_url_apart),
        cmocka_unit_test(url__has_one_spelling_for_a_place),
        cmocka_unit_test(url__refuses_what_is_no_nfs_url_and_says_why),
        cmocka_unit_test(url__keeps_to_its_limits),
        cmocka_unit_test(url__opening_asks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
