/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_mount: a daemon for libfkv's unit tests, inside the test: channel_ops over no kernel at all.
 *
 * Its table has u64 keys (or bytes keys "k<number>"). Key k is found unless k % 4 == 3; its value
 * tells key and version (fake_value), so a test sees whose value it got and from which version.
 *
 * Threads: one. Memory: static; fake_mount_reset() begins anew.
 */
#ifndef FKV_TESTS_FAKE_MOUNT_H
#define FKV_TESTS_FAKE_MOUNT_H

#include "client/channel.h"

#include <stddef.h>
#include <stdint.h>

enum { FAKE_DIM = 5, FAKE_VALUE_MAX = 4096 };

struct fake_mount {
    /* what it serves */
    uint64_t current; /* 0: no current version yet */
    uint64_t oldest;  /* versions from here to current may be asked for exactly */
    uint32_t key_type;
    uint32_t elem; /* FKV_ELEM_BYTES: values vary; FKV_ELEM_F32: vectors of FAKE_DIM */
    /* what goes wrong */
    int open_error;   /* every open() fails so */
    int attach_error; /* ATTACH fails so */
    int call_error;   /* the next n_call_errors lookups fail so, then forever not */
    int n_call_errors;
    int reply_error;        /* every reply carries this */
    uint64_t attach_max;    /* larger arenas are refused with ENOMEM; 0: any */
    int lookups_to_switch;  /* after so many lookups `current` (and `oldest`) go up by one */
    int lookups_to_restart; /* after so many lookups the daemon restarts */
    bool gone_after;        /* it does not come back from that restart */
    bool forge_stride;      /* replies point outside the body */
    bool forge_served;      /* replies name another version */
    bool wrong_protocol;
    /* scans: keys 0 to n_keys - 1 that are found, as bytes "k000000" */
    uint32_t n_keys;
    uint32_t scan_n_max;     /* records in one reply; 0: what fits */
    uint32_t scan_value_len; /* of every value in a scan; 0: as in lookups */
    bool not_idx;
    bool scan_backwards; /* every reply begins with the first key */
    bool scan_overrun;   /* the last record reaches beyond the body */
    bool scan_fails;     /* values cannot be read */
    bool closes;    /* a file answers only from the version that was current when it was opened */
    bool read_only; /* open for writing gives EACCES */
    /* what it saw */
    int n_open, n_attach, n_lookup, n_inline, n_message, n_scan;
    uint64_t last_deadline_ns;
    size_t largest_write;
};

extern struct fake_mount fake;
extern const struct channel_ops fake_mount_ops;

void fake_mount_reset(void);

/* The daemon restarts: descriptors opened so far are dead. */
void fake_mount_restart(void);

/* Descriptors open now. */
int fake_mount_n_fds(void);

bool fake_found(uint64_t key);
/* Writes the value of a key at a version and returns its length. */
size_t fake_value(uint64_t key, uint64_t version, uint8_t out[FAKE_VALUE_MAX]);
float fake_element(uint64_t key, uint64_t version, uint32_t i);

#endif
