/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_STORED_NUMBER_H
#define TENON_STORED_NUMBER_H

#include "number.h"

/* Type of a cache's elements: its dtype, unless that is u8 and kv_element says more. */
static inline tenon_number tenon_stored_number(DLDataType type, int32_t kv_element) {
    static const tenon_number element[TENON_ELEMENT_COUNT] = {
        TENON_NUMBER_U8, TENON_NUMBER_E4M3FN, TENON_NUMBER_E4M3FNUZ, TENON_NUMBER_E5M2,
        TENON_NUMBER_E5M2FNUZ};
    tenon_number number = tenon_number_of(type);
    return number == TENON_NUMBER_U8 ? element[kv_element] : number;
}

#endif /* TENON_STORED_NUMBER_H */
