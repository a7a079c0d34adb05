/* Masks the acting key, makes object_id a pseudonym, deletes passwords wherever they stand. */
#include "auditrelay.h"

static int32_t api_key, object_id, passwords;

int32_t auditrelay_init(void)
{
    api_key = AUDITRELAY_PATH("changed_by_api_key");
    object_id = AUDITRELAY_PATH("object_id");
    passwords = AUDITRELAY_PATH("**.~password");
    return 0;
}

int32_t auditrelay_event(void)
{
    auditrelay_mask_all(api_key);
    AUDITRELAY_HMAC_ALL(object_id, "pseudonyms");
    auditrelay_delete_all(passwords);
    return AUDITRELAY_KEEP;
}
