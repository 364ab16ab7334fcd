/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors: who may have how many of the descriptors that this process may open
 * (RLIMIT_NOFILE). The shares add up to less than all: what is left is for loading, the store,
 * rings of reads and the daemon itself.
 *
 * Threads, Memory, Errors: only constants.
 */
#ifndef FKV_NODE_DESCRIPTORS_H
#define FKV_NODE_DESCRIPTORS_H

enum {
    DESCRIPTORS_WHOLE = 8,
    DESCRIPTORS_OF_PARTS = 5,   /* parts of tables on disk, open while they are loaded */
    DESCRIPTORS_OF_CLIENTS = 2, /* part files that clients have open */
};

_Static_assert(DESCRIPTORS_OF_PARTS + DESCRIPTORS_OF_CLIENTS < DESCRIPTORS_WHOLE,
               "something is left for all else");

#endif
