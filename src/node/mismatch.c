/* SPDX-License-Identifier: Apache-2.0 */
#include "node/mismatch.h"

#include <errno.h>

int digest_mismatch(const struct digest *expected, const struct digest *found, struct err *err)
{
    char expected_hex[DIGEST_HEX_LEN + 1];
    char found_hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(expected, expected_hex);
    digest_to_hex(found, found_hex);
    return err_set(err, -EBADMSG, "expected digest %s, found %s", expected_hex, found_hex);
}
