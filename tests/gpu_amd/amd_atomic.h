/* SPDX-License-Identifier: Apache-2.0
 *
 * Read-modify-write operations on 32 and 64 bits, for global memory and LDS.
 */
#ifndef AMD_ATOMIC_H
#define AMD_ATOMIC_H

#include "amd_numbers.h"

typedef enum amd_atomic {
    AMD_ATOMIC_SWAP,
    AMD_ATOMIC_COMPARE_SWAP,
    AMD_ATOMIC_ADD,
    AMD_ATOMIC_SUB,
    AMD_ATOMIC_REVERSED_SUB,
    AMD_ATOMIC_SIGNED_MIN,
    AMD_ATOMIC_UNSIGNED_MIN,
    AMD_ATOMIC_SIGNED_MAX,
    AMD_ATOMIC_UNSIGNED_MAX,
    AMD_ATOMIC_AND,
    AMD_ATOMIC_OR,
    AMD_ATOMIC_XOR,
    AMD_ATOMIC_INCREMENT,
    AMD_ATOMIC_DECREMENT,
    AMD_ATOMIC_ADD_FLOAT,
    AMD_ATOMIC_MIN_FLOAT,
    AMD_ATOMIC_MAX_FLOAT,
    AMD_ATOMIC_ADD_TWO_HALVES,
    AMD_ATOMIC_ADD_TWO_BFLOATS,
    AMD_ATOMIC_MASK = 31,
    AMD_ATOMIC_WIDE = 32,   /* 64 bits */
    AMD_ATOMIC_RETURNS = 64 /* LDS: the form that brings back the old value */
} amd_atomic;

/* The new value of 32 bits; compare is used by the comparing swap only. */
static inline uint32_t amd_atomic_result(amd_atomic operation, uint32_t old, uint32_t data,
                                         uint32_t compare) {
    switch (operation) {
    case AMD_ATOMIC_SWAP:
        return data;
    case AMD_ATOMIC_COMPARE_SWAP:
        return old == compare ? data : old;
    case AMD_ATOMIC_ADD:
        return old + data;
    case AMD_ATOMIC_SUB:
        return old - data;
    case AMD_ATOMIC_REVERSED_SUB:
        return data - old;
    case AMD_ATOMIC_SIGNED_MIN:
        return (int32_t)old < (int32_t)data ? old : data;
    case AMD_ATOMIC_UNSIGNED_MIN:
        return old < data ? old : data;
    case AMD_ATOMIC_SIGNED_MAX:
        return (int32_t)old > (int32_t)data ? old : data;
    case AMD_ATOMIC_UNSIGNED_MAX:
        return old > data ? old : data;
    case AMD_ATOMIC_AND:
        return old & data;
    case AMD_ATOMIC_OR:
        return old | data;
    case AMD_ATOMIC_XOR:
        return old ^ data;
    case AMD_ATOMIC_INCREMENT:
        return old >= data ? 0 : old + 1;
    case AMD_ATOMIC_DECREMENT:
        return old == 0 || old > data ? data : old - 1;
    case AMD_ATOMIC_ADD_FLOAT:
        return amd_bits(amd_float(old) + amd_float(data));
    case AMD_ATOMIC_MIN_FLOAT:
        return amd_bits(amd_min(amd_float(old), amd_float(data)));
    case AMD_ATOMIC_MAX_FLOAT:
        return amd_bits(amd_max(amd_float(old), amd_float(data)));
    case AMD_ATOMIC_ADD_TWO_HALVES:
        return amd_half_bits(amd_half(old) + amd_half(data)) |
               amd_half_bits(amd_half(old >> 16) + amd_half(data >> 16)) << 16;
    case AMD_ATOMIC_ADD_TWO_BFLOATS:
        return amd_bfloat_bits(amd_bfloat(old & 0xffff) + amd_bfloat(data & 0xffff)) |
               amd_bfloat_bits(amd_bfloat(old >> 16) + amd_bfloat(data >> 16)) << 16;
    default:
        return old;
    }
}

static inline uint64_t amd_atomic_result64(amd_atomic operation, uint64_t old, uint64_t data,
                                           uint64_t compare) {
    switch (operation) {
    case AMD_ATOMIC_SWAP:
        return data;
    case AMD_ATOMIC_COMPARE_SWAP:
        return old == compare ? data : old;
    case AMD_ATOMIC_ADD:
        return old + data;
    case AMD_ATOMIC_SUB:
        return old - data;
    case AMD_ATOMIC_SIGNED_MIN:
        return (int64_t)old < (int64_t)data ? old : data;
    case AMD_ATOMIC_UNSIGNED_MIN:
        return old < data ? old : data;
    case AMD_ATOMIC_SIGNED_MAX:
        return (int64_t)old > (int64_t)data ? old : data;
    case AMD_ATOMIC_UNSIGNED_MAX:
        return old > data ? old : data;
    case AMD_ATOMIC_AND:
        return old & data;
    case AMD_ATOMIC_OR:
        return old | data;
    case AMD_ATOMIC_XOR:
        return old ^ data;
    case AMD_ATOMIC_ADD_FLOAT:
        return amd_double_bits(amd_double(old) + amd_double(data));
    default:
        return old;
    }
}

#endif
