/* Keeps one in ten updates, by the event's place in the journal, and everything else. */
#include "auditrelay.h"

static int32_t action;

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    return 0;
}

int32_t auditrelay_event(void)
{
    if (AUDITRELAY_IS(action, "updated") && (uint64_t)auditrelay_sequence() % 10 != 0) {
        AUDITRELAY_REASON("not in the sample");
        return AUDITRELAY_DROP;
    }
    return AUDITRELAY_KEEP;
}
