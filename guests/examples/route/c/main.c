/* Hands a copy of what was deleted or blocked to the callback that its configuration names. */
#include "auditrelay.h"

static int32_t action, target;
static char name[64], event[256 * 1024];

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    target = AUDITRELAY_PATH("to");
    return 0;
}

int32_t auditrelay_event(void)
{
    if (AUDITRELAY_IS(action, "deleted") || AUDITRELAY_IS(action, "blocked")) {
        int32_t to = auditrelay_get_string(auditrelay_config_find(target), name, sizeof name);
        int32_t length = auditrelay_event_read(event, sizeof event);
        if (to < 0 || to > (int32_t)sizeof name || length > (int32_t)sizeof event)
            AUDITRELAY_FAIL("no callback is configured, or the event is too large to be handed on");
        auditrelay_emit(name, (uint32_t)to, event, (uint32_t)length);
    }
    return AUDITRELAY_KEEP;
}
