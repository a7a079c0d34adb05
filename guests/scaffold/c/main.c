/* @NAME@ is a guest of auditrelay. It masks what goes by a secret's name, wherever
 * it stands, and drops what was merely created. */
#include "auditrelay.h"

static int32_t action, secrets;

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    secrets = AUDITRELAY_PATH("**.~password");
    return 0;
}

int32_t auditrelay_event(void)
{
    if (AUDITRELAY_IS(action, "created")) {
        AUDITRELAY_REASON("nothing but a creation");
        return AUDITRELAY_DROP;
    }
    auditrelay_mask_all(secrets);
    return AUDITRELAY_KEEP;
}
