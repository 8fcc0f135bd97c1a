/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"

int32_t tenon_check_merge_states(const void *args, tenon_error *error) {
    const tenon_merge_states_args *a = args;
    TENON_REQUIRE(merge_states, partial_out, a->partial_out->shape[0] > 0,
                  "%lld states, expected at least 1", (long long)a->partial_out->shape[0]);
    return TENON_OK;
}
