/* SPDX-License-Identifier: Apache-2.0 */
/* unit: what every unit test includes first; cmocka wants these headers before its own. */
#ifndef FKV_TESTS_UNIT_H
#define FKV_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
