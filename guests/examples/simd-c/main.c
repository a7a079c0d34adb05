/* simd-c does what the reference guests do, on the raw bytes: it masks
 * changed_by_api_key, deletes updated_values.password where updated_values is an
 * object, and drops what was blocked. It looks for quotes and brackets sixteen
 * bytes at a time, and does not look into strings that hold JSON: what it makes is
 * checked by the host as any event is. */
#include <wasm_simd128.h>

#include "auditrelay.h"

#define MOST (64 * 1024)
#define PADDING 64

static unsigned char in[MOST + PADDING], out[MOST + PADDING];

int32_t auditrelay_init(void) { return 0; }

static uint32_t skip_space(uint32_t i, uint32_t n)
{
    while (i < n && in[i] <= ' ')
        i++;
    return i;
}

/* skip_string returns the place behind the string that begins at i. */
static uint32_t skip_string(uint32_t i, uint32_t n)
{
    const v128_t quote = wasm_i8x16_splat('"'), backslash = wasm_i8x16_splat('\\');
    i++;
    while (i < n) {
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
    return n;
}

/* skip_rest returns the place behind the object or array that i is inside of. Which
 * bytes lie in strings follows from the quotes before each. */
static uint32_t skip_rest(uint32_t i, uint32_t n)
{
    const v128_t quote = wasm_i8x16_splat('"'), backslash = wasm_i8x16_splat('\\'), bit = wasm_i8x16_splat(0x20);
    const v128_t opens = wasm_i8x16_splat('{'), closes = wasm_i8x16_splat('}');
    int32_t depth = 1;
    uint32_t within = 0; /* all ones inside a string */
    while (i < n) {
        v128_t chunk = wasm_v128_load(in + i), folded = wasm_v128_or(chunk, bit);
        uint32_t quotes = wasm_i8x16_bitmask(wasm_i8x16_eq(chunk, quote));
        uint32_t open = wasm_i8x16_bitmask(wasm_i8x16_eq(folded, opens));
        uint32_t close = wasm_i8x16_bitmask(wasm_i8x16_eq(folded, closes));
        uint32_t escapes = wasm_i8x16_bitmask(wasm_i8x16_eq(chunk, backslash)), step = 16;
        if (escapes) {
            uint32_t at = (uint32_t)__builtin_ctz(escapes), before = (1u << at) - 1;
            quotes &= before, open &= before, close &= before;
            step = at + 2;
        }
        quotes ^= quotes << 1;
        quotes ^= quotes << 2;
        quotes ^= quotes << 4;
        quotes ^= quotes << 8;
        uint32_t inside = quotes ^ within;
        within = 0u - (inside >> 15 & 1);
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
    return n;
}

static uint32_t skip_value(uint32_t i, uint32_t n)
{
    if (i >= n)
        return n;
    if (in[i] == '"')
        return skip_string(i, n);
    if (in[i] == '{' || in[i] == '[')
        return skip_rest(i + 1, n);
    while (i < n && in[i] != ',' && in[i] != '}' && in[i] != ']')
        i++;
    return i;
}

static int same(uint32_t at, uint32_t length, const char *text, uint32_t size)
{
    if (length != size)
        return 0;
    for (uint32_t k = 0; k < size; k++)
        if (in[at + k] != (unsigned char)text[k])
            return 0;
    return 1;
}
#define SAME(at, length, literal) same(at, length, literal, sizeof(literal) - 1)

static uint32_t copied, written; /* what of in stands in out, and how long that is */

static void copy_to(uint32_t end)
{
    __builtin_memcpy(out + written, in + copied, end - copied);
    written += end - copied;
    copied = end;
}

/* without_password goes through the object at i and returns the place behind it, or
 * the end where nothing behind it is wanted. The host gives no object with a key
 * twice, so what follows a key that was found is passed over as a whole. */
static uint32_t without_password(uint32_t i, uint32_t n, int last)
{
    uint32_t behind = ++i; /* the last member that is kept */
    int first = 1;
    for (;;) {
        i = skip_space(i, n);
        if (i >= n)
            return n;
        if (in[i] == '}')
            return i + 1;
        if (in[i] == ',')
            i = skip_space(i + 1, n);
        uint32_t key = i + 1;
        i = skip_string(i, n);
        uint32_t length = i - 1 - key;
        i = skip_space(skip_space(i, n) + 1, n);
        i = skip_value(i, n);
        if (SAME(key, length, "password")) {
            copy_to(behind);
            copied = i;
            uint32_t next = skip_space(i, n);
            if (first && next < n && in[next] == ',')
                copied = next + 1;
            return last ? n : skip_rest(i, n);
        }
        first = 0;
        behind = i;
    }
}

int32_t auditrelay_event(void)
{
    int32_t n = auditrelay_event_read(in, MOST);
    if (n > MOST)
        AUDITRELAY_FAIL("the event is larger than this guest's buffer");
    uint32_t end = (uint32_t)n, i = skip_space(0, end);
    copied = written = 0;
    i++;
    for (int wanted = 3; wanted > 0;) {
        i = skip_space(i, end);
        if (i >= end || in[i] == '}')
            break;
        if (in[i] == ',')
            i = skip_space(i + 1, end);
        uint32_t key = i + 1;
        i = skip_string(i, end);
        uint32_t length = i - 1 - key;
        i = skip_space(skip_space(i, end) + 1, end);
        uint32_t value = i;
        if (SAME(key, length, "updated_values") && i < end && in[i] == '{') {
            wanted--;
            i = without_password(i, end, wanted == 0);
            continue;
        }
        i = skip_value(i, end);
        if (SAME(key, length, "action")) {
            wanted--;
            if (SAME(value, i - value, "\"blocked\""))
                return AUDITRELAY_DROP;
        } else if (SAME(key, length, "changed_by_api_key")) {
            wanted--;
            copy_to(value);
            __builtin_memcpy(out + written, "\"***\"", 5);
            written += 5;
            copied = i;
        }
    }
    if (written == 0)
        return AUDITRELAY_KEEP;
    copy_to(end);
    auditrelay_event_replace((const char *)out, written);
    return AUDITRELAY_KEEP;
}
