/* Masks what looks like a key wherever it stands, and alerts about it. */
#include "auditrelay.h"

#define KEY "sk-[A-Za-z0-9]{8,}"
#define ALERT "{\"alert\":\"a key was found\"}"
#define STRING 4

static int32_t all, key;

int32_t auditrelay_init(void)
{
    all = AUDITRELAY_PATH("**");
    key = AUDITRELAY_REGEX(KEY);
    return 0;
}

int32_t auditrelay_event(void)
{
    int found = 0;
    for (int32_t n = auditrelay_each(all, AUDITRELAY_NONE); n >= 0; n = auditrelay_each(all, n)) {
        /* Text that holds JSON is gone through; only the leaf in it is masked. */
        if (auditrelay_kind(n) == STRING && auditrelay_child(n, AUDITRELAY_NONE) < 0 && auditrelay_matches(n, key) == 1) {
            auditrelay_mask(n);
            found = 1;
        }
    }
    if (found)
        auditrelay_emit("alerts", 6, ALERT, sizeof ALERT - 1);
    return AUDITRELAY_KEEP;
}
