/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"

int32_t tenon_check_quantize(const void *args, tenon_error *error) {
    (void)args, (void)error;
    return TENON_OK;
}
