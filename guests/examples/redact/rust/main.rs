//! Masks the acting key, makes object_id a pseudonym, deletes passwords wherever they stand.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { API_KEY = "changed_by_api_key", OBJECT_ID = "object_id", PASSWORDS = "**.~password" }
    event {
        API_KEY.mask_all();
        OBJECT_ID.hmac_all("pseudonyms");
        PASSWORDS.delete_all();
        Verdict::Keep
    }
}
