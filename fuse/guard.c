/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

struct guard {
    uintptr_t begin;
    size_t len;
    sigjmp_buf jump;
};

/* The guard of the work this thread is in. Read by its own signal handler only. */
static __thread struct guard *volatile active;

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
    struct guard *guard = active;
    if (guard && (uintptr_t)info->si_addr - guard->begin < guard->len) {
        active = NULL;
        /* As it was before the fault, whatever is blocked for a handler: cheaper than saving it for
         * each batch. */
        pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(guard->jump, 1);
    }
    /* Not ours: returning runs the faulting instruction again, now without a handler. */
    signal(SIGBUS, SIG_DFL);
}

int guard_install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

int guard_run(const void *range, size_t len, guard_fn work, void *context)
{
    struct guard guard = {.begin = (uintptr_t)range, .len = len};
    /* The mask need not be saved: the handler puts it back. */
    if (sigsetjmp(guard.jump, 0))
        return -EFAULT;
    active = &guard;
    work(context);
    active = NULL;
    return 0;
}
