/* script calls host functions as its configuration says, so that tests can hold
 * each of them to its contract:
 *
 *   {"steps": [["mask_all", "a.b"], ["get", "a.b"], ...]}
 *
 * A step is a function's name, then a path (or a query, or a name), then up to
 * two texts. What each returns, or the text that it gives, is joined by blanks
 * into the reason. */
#include "auditrelay.h"

#define STEPS 32
#define TEXT 1024

struct text {
    char bytes[TEXT];
    uint32_t length;
};

static struct step {
    struct text words[4];
    int32_t path, regex;
} steps[STEPS];
static int step_count;
static char said[4 * TEXT];
static uint32_t said_length;

static int is(const struct text *t, const char *name)
{
    uint32_t i = 0;
    for (; i < t->length && name[i]; i++)
        if (t->bytes[i] != name[i])
            return 0;
    return i == t->length && !name[i];
}

static void say(const char *bytes, int32_t length)
{
    if (said_length && said_length < sizeof said)
        said[said_length++] = ' ';
    for (int32_t i = 0; i < length && said_length < sizeof said; i++)
        said[said_length++] = bytes[i];
}

static void say_number(int64_t n)
{
    char digits[24];
    int at = sizeof digits;
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        digits[--at] = '-';
    say(digits + at, (int32_t)sizeof digits - at);
}

/* say_text says what a function wrote, or the negative number that it gave. */
static void say_text(const char *buf, int32_t length, uint32_t capacity)
{
    if (length < 0 || (uint32_t)length > capacity)
        say_number(length);
    else
        say(buf, length);
}

int32_t auditrelay_init(void)
{
    int32_t every = AUDITRELAY_PATH("steps.*");
    for (int32_t n = auditrelay_config_find(every); n >= 0 && step_count < STEPS; n = auditrelay_each(every, n)) {
        struct step *s = &steps[step_count++];
        int i = 0;
        for (int32_t c = auditrelay_child(n, AUDITRELAY_NONE); c >= 0 && i < 4; c = auditrelay_child(n, c), i++) {
            int32_t length = auditrelay_get_string(c, s->words[i].bytes, TEXT);
            if (length < 0 || length > TEXT)
                AUDITRELAY_FAIL("a word is no string, or too long");
            s->words[i].length = (uint32_t)length;
        }
        if (i > 1 && !is(&s->words[0], "query") && !is(&s->words[0], "emit") && !is(&s->words[0], "count") && !is(&s->words[0], "has"))
            s->path = auditrelay_path(s->words[1].bytes, s->words[1].length);
        if (is(&s->words[0], "detects") || is(&s->words[0], "redact_detected") || is(&s->words[0], "redact_detected_all"))
            s->regex = auditrelay_detector(s->words[2].bytes, s->words[2].length);
        if (is(&s->words[0], "matches") || is(&s->words[0], "redact_matches") || is(&s->words[0], "redact_matches_all"))
            s->regex = auditrelay_regex(s->words[2].bytes, s->words[2].length);
    }
    return 0;
}

#define WORD(i) s->words[i].bytes, s->words[i].length

static int32_t number(const struct text *t)
{
    int32_t n = 0;
    for (uint32_t i = 0; i < t->length; i++)
        n = n * 10 + (t->bytes[i] - '0');
    return n;
}

static void run(const struct step *s)
{
    static char buf[TEXT];
    const struct text *op = &s->words[0];
#define CALL(name, expression) if (is(op, name)) { say_number(expression); return; }
#define READ(name, expression) if (is(op, name)) { say_text(buf, expression, TEXT); return; }
    CALL("kind", auditrelay_kind(auditrelay_find(s->path)))
    CALL("length", auditrelay_length(auditrelay_find(s->path)))
    CALL("is", auditrelay_is(s->path, WORD(2)))
    CALL("matches", auditrelay_matches(auditrelay_find(s->path), s->regex))
    CALL("set_json", auditrelay_set_json(auditrelay_find(s->path), WORD(2)))
    CALL("set_string", auditrelay_set_string(auditrelay_find(s->path), WORD(2)))
    CALL("put", auditrelay_put(auditrelay_find(s->path), WORD(2), WORD(3)))
    CALL("put_root", auditrelay_put(AUDITRELAY_ROOT, WORD(2), WORD(3)))
    CALL("delete", auditrelay_delete(auditrelay_find(s->path)))
    CALL("mask", auditrelay_mask(auditrelay_find(s->path)))
    CALL("mask_root", auditrelay_mask(AUDITRELAY_ROOT))
    CALL("mask_config", auditrelay_mask(auditrelay_config_find(s->path)))
    CALL("truncate", auditrelay_truncate(auditrelay_find(s->path), number(&s->words[2])))
    CALL("partial", auditrelay_partial(auditrelay_find(s->path), number(&s->words[2])))
    CALL("detects", auditrelay_detects(auditrelay_find(s->path), s->regex))
    CALL("redact_matches", auditrelay_redact_matches(auditrelay_find(s->path), s->regex, number(&s->words[3])))
    CALL("redact_detected", auditrelay_redact_matches(auditrelay_find(s->path), s->regex, number(&s->words[3])))
    CALL("hmac", auditrelay_hmac(auditrelay_find(s->path), WORD(2)))
    CALL("set_json_all", auditrelay_set_json_all(s->path, WORD(2)))
    CALL("set_string_all", auditrelay_set_string_all(s->path, WORD(2)))
    CALL("delete_all", auditrelay_delete_all(s->path))
    CALL("mask_all", auditrelay_mask_all(s->path))
    CALL("truncate_all", auditrelay_truncate_all(s->path, number(&s->words[2])))
    CALL("partial_all", auditrelay_partial_all(s->path, number(&s->words[2])))
    CALL("redact_matches_all", auditrelay_redact_matches_all(s->path, s->regex, number(&s->words[3])))
    CALL("redact_detected_all", auditrelay_redact_matches_all(s->path, s->regex, number(&s->words[3])))
    CALL("hmac_all", auditrelay_hmac_all(s->path, WORD(2)))
    CALL("event_len", auditrelay_event_len())
    CALL("event_replace", auditrelay_event_replace(WORD(2)))
    CALL("emit", auditrelay_emit(WORD(1), WORD(2)))
    CALL("count", auditrelay_count(WORD(1), (uint32_t)number(&s->words[2])))
    CALL("sequence", auditrelay_sequence())
    CALL("received", auditrelay_received())
    CALL("has", auditrelay_has(WORD(1)))
    CALL("log", auditrelay_log(AUDITRELAY_WARN, WORD(2)))
    CALL("tight", auditrelay_get(auditrelay_find(s->path), buf, 2))
    READ("key", auditrelay_key(auditrelay_find(s->path), buf, TEXT))
    READ("get", auditrelay_get(auditrelay_find(s->path), buf, TEXT))
    READ("get_string", auditrelay_get_string(auditrelay_find(s->path), buf, TEXT))
    READ("query", auditrelay_query(WORD(1), buf, TEXT))
    READ("event_read", auditrelay_event_read(buf, TEXT))
    READ("config", auditrelay_config(buf, TEXT))
    if (is(op, "keys")) {
        int32_t parent = auditrelay_find(s->path);
        for (int32_t c = auditrelay_child(parent, AUDITRELAY_NONE); c >= 0; c = auditrelay_child(parent, c))
            say_text(buf, auditrelay_key(c, buf, TEXT), TEXT);
        return;
    }
    if (is(op, "each")) {
        for (int32_t n = auditrelay_each(s->path, AUDITRELAY_NONE); n >= 0; n = auditrelay_each(s->path, n))
            say_text(buf, auditrelay_get(n, buf, TEXT), TEXT);
        return;
    }
    AUDITRELAY_FAIL("no such step");
}

int32_t auditrelay_event(void)
{
    said_length = 0;
    for (int i = 0; i < step_count; i++)
        run(&steps[i]);
    auditrelay_reason(said, said_length);
    return AUDITRELAY_KEEP;
}
