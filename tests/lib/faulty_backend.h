/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faulty_backend: any backend, with the nth call going wrong.
 *
 * Calls are those that can fail: all but close, close_file and len. A hook may look on, or act as another machine.
 *
 * Threads: calls from any; armed while there are none. Memory: closed by the store that takes it over; the inner one with it, unless it was lent.
 * Errors: the one armed, else the inner backend's.
 */
#ifndef FKV_TESTS_FAULTY_BACKEND_H
#define FKV_TESTS_FAULTY_BACKEND_H

#include "store/backend.h"

#include <stdatomic.h>

enum faulty_mode {
    FAULTY_FAIL,         /* the nth call is not done and gives code */
    FAULTY_LOSE,         /* the nth call is done and gives code all the same: its reply was lost */
    FAULTY_LOSE_AND_DIE, /* the nth call is done and its reply lost, the later ones are not done */
    FAULTY_DIE,          /* the nth call and all later ones are not done and give code */
};

struct faulty {
    struct backend backend;
    struct backend *inner;
    bool is_lent; /* inner is somebody else's to close */
    _Atomic unsigned n_calls;
    unsigned nth; /* 1: the next call; 0: none */
    enum faulty_mode mode;
    int code;
    _Atomic bool was_hit;
    void (*before)(void *context, const char *op, const char *path); /* may be NULL */
    void *context;
};

struct faulty *faulty_new(struct backend *inner, bool is_lent);
/* From now on counted: the nth call goes wrong. */
void faulty_arm(struct faulty *faulty, unsigned nth, enum faulty_mode mode, int code);
void faulty_disarm(struct faulty *faulty);

#endif
