/* simd-c does what the reference guests do, on the raw bytes: it masks
 * changed_by_api_key, deletes updated_values.password where updated_values is an
 * object, and drops what was blocked. It looks for quotes and brackets sixteen or more
 * bytes at a time, and does not look into strings that hold JSON: what it makes is
 * checked by the host as any event is. */
#include <wasm_simd128.h>

#include "auditrelay.h"

#define MOST (64 * 1024)
#define PADDING 64

static unsigned char in[PADDING + MOST + PADDING];
static uint32_t begin, end; /* the event is what lies between */

int32_t auditrelay_init(void) { return 0; }

/* What ends every search: behind the event stand quotes and brackets, so that no
 * loop needs to look for the end. */
static inline void put_end(void)
{
    wasm_v128_store(in + end, wasm_i8x16_splat('"'));
    wasm_v128_store(in + end + 16, wasm_i8x16_splat('}'));
}

/* skip_space is quick where there is one space or none, as there mostly is. */
static inline uint32_t skip_space(uint32_t i)
{
    if (in[i] > ' ')
        return i;
    i++;
    while (in[i] <= ' ')
        i++;
    return i;
}

/* skip_string returns the place behind the string that begins at i. */
static inline uint32_t skip_string(uint32_t i)
{
    const v128_t quote = wasm_i8x16_splat('"'), backslash = wasm_i8x16_splat('\\');
    i++;
    for (;;) {
        v128_t chunk = wasm_v128_load(in + i);
        uint32_t found = wasm_i8x16_bitmask(wasm_v128_or(wasm_i8x16_eq(chunk, quote), wasm_i8x16_eq(chunk, backslash)));
        if (!found) {
            i += 16;
            continue;
        }
        i += (uint32_t)__builtin_ctz(found);
        if (in[i] == '"')
            return i + 1;
        i += 2;
    }
}

/* where returns a bit for each of two chunks' bytes that are c. */
static inline uint32_t where(v128_t low, v128_t high, int8_t c)
{
    v128_t all = wasm_i8x16_splat(c);
    return wasm_i8x16_bitmask(wasm_i8x16_eq(low, all)) | (uint32_t)wasm_i8x16_bitmask(wasm_i8x16_eq(high, all)) << 16;
}

/* skip_rest returns the place behind the object or array that i is inside of. Which
 * bytes lie in strings follows from the quotes before each. */
static uint32_t skip_rest(uint32_t i)
{
    const v128_t bit = wasm_i8x16_splat(0x20);
    int32_t depth = 1;
    uint32_t within = 0; /* all ones inside a string */
    for (;;) {
        v128_t low = wasm_v128_load(in + i), high = wasm_v128_load(in + i + 16);
        uint32_t quotes = where(low, high, '"'), escapes = where(low, high, '\\'), step = 32;
        low = wasm_v128_or(low, bit), high = wasm_v128_or(high, bit);
        uint32_t open = where(low, high, '{'), close = where(low, high, '}');
        if (escapes) {
            uint32_t at = (uint32_t)__builtin_ctz(escapes), before = (1u << at) - 1;
            quotes &= before, open &= before, close &= before;
            step = at + 2;
        }
        quotes ^= quotes << 1;
        quotes ^= quotes << 2;
        quotes ^= quotes << 4;
        quotes ^= quotes << 8;
        quotes ^= quotes << 16;
        uint32_t inside = quotes ^ within;
        within = 0u - (inside >> 31);
        open &= ~inside;
        close &= ~inside;
        for (uint32_t found = open | close; found; found &= found - 1) {
            if (open & (found & (0u - found)))
                depth++;
            else if (--depth == 0)
                return i + (uint32_t)__builtin_ctz(found) + 1;
        }
        i += step;
    }
}

static inline uint32_t skip_value(uint32_t i)
{
    if (in[i] == '"')
        return skip_string(i);
    if ((in[i] | 0x20) == '{')
        return skip_rest(i + 1);
    for (;;) {
        v128_t chunk = wasm_v128_load(in + i);
        uint32_t found = wasm_i8x16_bitmask(wasm_v128_or(wasm_i8x16_eq(chunk, wasm_i8x16_splat(',')),
                                                         wasm_i8x16_eq(wasm_v128_or(chunk, wasm_i8x16_splat(0x20)), wasm_i8x16_splat('}'))));
        if (found)
            return i + (uint32_t)__builtin_ctz(found);
        i += 16;
    }
}

/* same compares a text of four bytes or more by words, of which the last may overlap the
 * one before. */
static inline __attribute__((always_inline)) int same(uint32_t at, uint32_t length, const char *text, uint32_t size)
{
    if (length != size)
        return 0;
    if (size < 8) {
        uint32_t a, b, c, d;
        __builtin_memcpy(&a, in + at, 4), __builtin_memcpy(&b, text, 4);
        __builtin_memcpy(&c, in + at + size - 4, 4), __builtin_memcpy(&d, text + size - 4, 4);
        return ((a ^ b) | (c ^ d)) == 0;
    }
    uint64_t a, b, differ = 0;
    for (uint32_t k = 0; k + 8 < size; k += 8) {
        __builtin_memcpy(&a, in + at + k, 8), __builtin_memcpy(&b, text + k, 8);
        differ |= a ^ b;
    }
    __builtin_memcpy(&a, in + at + size - 8, 8), __builtin_memcpy(&b, text + size - 8, 8);
    return (differ | (a ^ b)) == 0;
}
#define SAME(at, length, literal) same(at, length, literal, sizeof(literal) - 1)

/* mask puts a text in place of the value from at to behind, which nothing that is
 * still to be looked at precedes: what does is moved up, or down. */
static inline void mask(uint32_t at, uint32_t behind)
{
    uint32_t to = begin + (behind - at) - 5;
    __builtin_memmove(in + to, in + begin, at - begin);
    begin = to;
    __builtin_memcpy(in + behind - 5, "\"***\"", 5);
}

/* cut takes out what lies between two places and returns the place of what followed. */
static inline uint32_t cut(uint32_t at, uint32_t behind)
{
    if (at - begin < end - behind) {
        __builtin_memmove(in + begin + behind - at, in + begin, at - begin);
        begin += behind - at;
        return behind;
    }
    __builtin_memmove(in + at, in + behind, end + 2 * 16 - behind); /* with what ends searches */
    end -= behind - at;
    return at;
}

/* without_password goes through the object at i and returns the place behind it, or
 * the end where nothing behind it is wanted. The host gives no object with a key
 * twice, so what follows a key that was found is passed over as a whole. */
static uint32_t without_password(uint32_t i, int last)
{
    uint32_t behind = ++i; /* the last member that is kept */
    int first = 1;
    for (;;) {
        i = skip_space(i);
        if (i >= end)
            return end;
        if (in[i] == '}')
            return i + 1;
        if (in[i] == ',')
            i = skip_space(i + 1);
        uint32_t key = i + 1;
        i = skip_string(i);
        uint32_t length = i - 1 - key;
        i = skip_space(skip_space(i) + 1);
        i = skip_value(i);
        if (SAME(key, length, "password")) {
            uint32_t next = skip_space(i);
            if (first && in[next] == ',')
                i = next + 1;
            i = cut(behind, i);
            return last ? end : skip_rest(i);
        }
        first = 0;
        behind = i;
    }
}

int32_t auditrelay_event(void)
{
    int32_t n = auditrelay_event_read(in + PADDING, MOST);
    if (n > MOST)
        AUDITRELAY_FAIL("the event is larger than this guest's buffer");
    begin = PADDING;
    end = PADDING + (uint32_t)n;
    put_end();
    int changed = 0;
    uint32_t i = skip_space(begin) + 1;
    for (int wanted = 3; wanted > 0;) {
        i = skip_space(i);
        if (i >= end || in[i] == '}')
            break;
        if (in[i] == ',')
            i = skip_space(i + 1);
        uint32_t key = i + 1;
        i = skip_string(i);
        uint32_t length = i - 1 - key;
        i = skip_space(skip_space(i) + 1);
        uint32_t value = i;
        if (SAME(key, length, "updated_values") && in[i] == '{') {
            wanted--;
            uint32_t before = end - begin;
            i = without_password(i, wanted == 0);
            changed |= end - begin != before;
            continue;
        }
        i = skip_value(i);
        if (SAME(key, length, "action")) {
            wanted--;
            if (SAME(value, i - value, "\"blocked\""))
                return AUDITRELAY_DROP;
        } else if (SAME(key, length, "changed_by_api_key")) {
            wanted--;
            mask(value, i);
            changed = 1;
        }
    }
    if (changed)
        auditrelay_event_replace((const char *)in + begin, end - begin);
    return AUDITRELAY_KEEP;
}
