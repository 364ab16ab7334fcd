/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/checkpoint_policy.h"

bool checkpoint_is_due(const struct version_desc *desc, const struct checkpoint_policy *policy)
{
    uint64_t base_len = 0;
    uint64_t delta_len = 0;
    if (desc->n_levels < 2)
        return false;
    if (policy->levels && desc->n_levels >= policy->levels)
        return true;
    for (size_t i = 0; i < desc->n_parts; i++) {
        if (desc->parts[i].level == 0)
            base_len += desc->parts[i].len;
        else
            delta_len += desc->parts[i].len;
    }
    return policy->share > 0 && (double)delta_len >= policy->share * (double)base_len;
}
