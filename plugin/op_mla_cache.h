/* SPDX-License-Identifier: Apache-2.0 */
/* Relations that mla_attention and mla_append share: the form of a latent cache, and what its bytes
 * mean. */
#ifndef TENON_OP_MLA_CACHE_H
#define TENON_OP_MLA_CACHE_H

#include "op_kv_cache.h"

enum { TENON_FP8_DS_ROW_BYTES = 656, TENON_FP8_DS_LATENT = 512, TENON_FP8_DS_ROPE = 64 };

#define TENON_REQUIRE_LATENT_CACHE(op, a, d_latent, d_rope)                                        \
    do {                                                                                           \
        const DLTensor *cache_ = (a)->cache;                                                       \
        long long row_ = (long long)cache_->shape[cache_->ndim - 1],                               \
                  stride_ = (long long)cache_->strides[cache_->ndim - 1];                          \
        bool bytes_ = tenon_is_bytes(cache_->dtype);                                               \
        TENON_REQUIRE(op, cache, cache_->shape[1] > 0, "page_size must be at least 1");            \
        if ((a)->cache_format == TENON_MLA_CACHE_FP8_DS) {                                         \
            TENON_REQUIRE(op, cache, bytes_ && row_ == TENON_FP8_DS_ROW_BYTES && stride_ == 1,     \
                          "dtype code %d, bits %d, rows of %lld with stride %lld, but an FP8_DS "  \
                          "row is %d contiguous u8",                                               \
                          cache_->dtype.code, cache_->dtype.bits, row_, stride_,                   \
                          TENON_FP8_DS_ROW_BYTES);                                                 \
            TENON_REQUIRE(op, cache_format,                                                        \
                          (d_latent) == TENON_FP8_DS_LATENT && (d_rope) == TENON_FP8_DS_ROPE,      \
                          "FP8_DS is %d + %d, but d_latent=%lld and d_rope=%lld",                  \
                          TENON_FP8_DS_LATENT, TENON_FP8_DS_ROPE, (long long)(d_latent),           \
                          (long long)(d_rope));                                                    \
            TENON_REQUIRE(op, kv_scale, !(a)->kv_scale,                                            \
                          "is given, but an FP8_DS row carries its own scales");                   \
            TENON_REQUIRE(op, kv_element, (a)->kv_element == TENON_ELEMENT_AS_TENSOR,              \
                          "%d, but FP8_DS says what its bytes are", (a)->kv_element);              \
        } else {                                                                                   \
            TENON_REQUIRE(op, cache, row_ == (d_latent) + (d_rope),                                \
                          "rows of %lld, expected d_latent=%lld + d_rope=%lld", row_,              \
                          (long long)(d_latent), (long long)(d_rope));                             \
            TENON_REQUIRE(op, kv_element, bytes_ == ((a)->kv_element != TENON_ELEMENT_AS_TENSOR),  \
                          "%d, and the cache %s u8: it says what a u8 cache holds, and only that", \
                          (a)->kv_element, bytes_ ? "is" : "is not");                              \
            TENON_REQUIRE(op, kv_scale, !(a)->kv_scale || tenon_is_quantized_cache(cache_),        \
                          "is given, but only fp8 and int8 caches have a scale");                  \
            TENON_REQUIRE(op, kv_scale, (a)->kv_scale || !tenon_is_int8(cache_->dtype),            \
                          "is NULL, but the cache is i8, which means nothing without a scale");    \
        }                                                                                          \
    } while (0)

#endif /* TENON_OP_MLA_CACHE_H */
