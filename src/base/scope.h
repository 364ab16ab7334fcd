/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scope: memory, descriptors and locks that let go at the end of a block.
 *
 *     scope_free char *path = NULL;      freed
 *     scope_fd int fd = -1;              closed when >= 0
 *     scope_lock(&table->lock);          held to the end of the block
 *
 * To keep what a scope owns, hand it out with scope_take(): it returns the pointer and clears it.
 */
#ifndef FKV_BASE_SCOPE_H
#define FKV_BASE_SCOPE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scope_free_at(void *p)
{
    free(*(void **)p);
}
static inline void scope_close_at(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline void scope_fclose_at(FILE **file)
{
    if (*file)
        fclose(*file);
}
static inline void scope_unlock_at(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}
static inline pthread_mutex_t *scope_locked(pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    return lock;
}

#define scope_free   __attribute__((cleanup(scope_free_at)))
#define scope_fd     __attribute__((cleanup(scope_close_at)))
#define scope_fclose __attribute__((cleanup(scope_fclose_at)))

#define SCOPE_NAME2(a, b) a##b
#define SCOPE_NAME(a, b)  SCOPE_NAME2(a, b)
#define scope_lock(lock)                                                                           \
    __attribute__((cleanup(scope_unlock_at), unused)) pthread_mutex_t *SCOPE_NAME(                 \
        scope_lock_, __LINE__) = scope_locked(lock)

#define scope_take(p)                                                                              \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline int scope_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
