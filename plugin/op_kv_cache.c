/* SPDX-License-Identifier: Apache-2.0 */
#include "op_kv_cache.h"

#include "tensor.h"

#define FAIL(status, field, ...)                                                                   \
    return tenon_fail_field(error, status, c->op, (field).name, (field).index, __VA_ARGS__)
#define REQUIRE(field, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition)) FAIL(TENON_STATUS_INVALID_ARGUMENT, field, __VA_ARGS__);                 \
    } while (0)

static int32_t check_form(const tenon_cache_check *c, const DLTensor *cache,
                          tenon_cache_field field, int64_t d, tenon_error *error) {
    char text[120];
    tenon_tensor_text(cache, text, sizeof text);
    if (c->native) {
        REQUIRE(field, cache->ndim == 1 && tenon_is_bytes(cache->dtype),
                "%s, but a native cache is u8[bytes]", text);
        return TENON_OK;
    }
    REQUIRE(field, cache->ndim != 1,
            "%s: a cache of rank 1 is a native one, but NATIVE_CACHE is not set", text);
    REQUIRE(field, cache->shape[1] > 0 && cache->shape[2] > 0,
            "%s: page_size and heads_kv must be at least 1", text);
    REQUIRE(c->page_size_field, c->page_size == 0 || c->page_size == cache->shape[1],
            "%d, but %s is %s", c->page_size, field.name, text);
    if (cache->ndim == 5) {
        int64_t inner;
        bool fits = !__builtin_mul_overflow(cache->shape[3], cache->shape[4], &inner) && inner == d;
        REQUIRE(field, fits, "%s: the last two extents must multiply to the head dim %lld", text,
                (long long)d);
    }
    return TENON_OK;
}

static int32_t check_scale(const tenon_cache_check *c, const DLTensor *cache, const DLTensor *scale,
                           tenon_cache_field field, const char *cache_name, tenon_error *error) {
    if (c->native) return TENON_OK; /* what a native cache stores is its backend's affair */
    REQUIRE(field, !scale || tenon_is_quantized_cache(cache),
            "is given, but %s is %s: only fp8 and int8 caches have scales", cache_name,
            tenon_type_name(tenon_type_of(cache->dtype)));
    REQUIRE(field, scale || !tenon_is_int8(cache->dtype),
            "is NULL, but %s is i8, which means nothing without a scale", cache_name);
    return TENON_OK;
}

int32_t tenon_check_kv_caches(const tenon_cache_check *c, tenon_error *error) {
    int32_t status = check_form(c, c->k, c->k_field, c->d_qk, error);
    if (!status) status = check_form(c, c->v, c->v_field, c->d_v, error);
    if (!status) status = check_scale(c, c->k, c->k_scale, c->k_scale_field, "k", error);
    if (!status) status = check_scale(c, c->v, c->v_scale, c->v_scale_field, "v", error);
    if (status) return status;

    REQUIRE(c->page_size_field, c->native ? c->page_size > 0 : c->page_size >= 0,
            c->native ? "%d, a native cache needs it (1 or more)" : "%d is negative", c->page_size);
    bool bytes = tenon_is_bytes(c->k->dtype) || tenon_is_bytes(c->v->dtype);
    REQUIRE(c->kv_element_field, bytes || c->kv_element == TENON_ELEMENT_AS_TENSOR,
            "%d, but neither cache is u8: its dtype says what it holds", c->kv_element);
    REQUIRE(c->kv_element_field, c->native || !bytes || c->kv_element != TENON_ELEMENT_AS_TENSOR,
            "AS_TENSOR, but a u8 cache does not say what its bytes are");
    return TENON_OK;
}
