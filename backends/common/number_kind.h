/* SPDX-License-Identifier: Apache-2.0 */
/* The element types by number. Alone in its file, so that device code reads it without a C library.
 */
#ifndef TENON_NUMBER_KIND_H
#define TENON_NUMBER_KIND_H

typedef enum tenon_number {
    TENON_NUMBER_UNKNOWN = 0,
    TENON_NUMBER_F32,
    TENON_NUMBER_F16,
    TENON_NUMBER_BF16,
    TENON_NUMBER_E4M3FN,
    TENON_NUMBER_E4M3FNUZ,
    TENON_NUMBER_E5M2,
    TENON_NUMBER_E5M2FNUZ,
    TENON_NUMBER_E8M0,
    TENON_NUMBER_I8,
    TENON_NUMBER_U8,
    TENON_NUMBER_I32,
    TENON_NUMBER_I64,
    TENON_NUMBER_E2M3, /* the types from here on are narrower than a byte: codes only, no load or
                          store */
    TENON_NUMBER_E3M2,
    TENON_NUMBER_E2M1,
    TENON_NUMBER_U4
} tenon_number;

#endif /* TENON_NUMBER_KIND_H */
